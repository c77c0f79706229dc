#include "harness/record/describe.hpp"

#include <algorithm>

#include "harness/core/text.hpp"

namespace lockstep::record {
namespace {

std::string list_of(const std::vector<OpId>& ops) {
  std::vector<std::string> indices;
  indices.reserve(ops.size());
  for (const OpId op : ops)
    indices.push_back(std::to_string(op.value()));
  return join(indices, ",");
}

void describe_work(const step::StepGraph& graph, const step::Op& op, GraphRow& row) {
  if (const auto* gemm = std::get_if<step::Gemm>(&op.work)) {
    row.dtype = gemm->precision();
    row.m = gemm->m;
    row.n = gemm->n;
    row.k = gemm->k;
    row.batch = gemm->batch;
  } else if (const auto* update = std::get_if<step::Update>(&op.work)) {
    row.dtype = to_string(update->dtype);
  } else if (const auto* comm = std::get_if<step::Comm>(&op.work)) {
    const step::Group& group = graph.group(comm->group);
    row.dtype = to_string(comm->dtype);
    row.group = group.name;
    row.spans_sites = group.spans_sites ? 1 : 0;
    for (const auto& part : group.parts)
      row.group_ranks = std::max(row.group_ranks, static_cast<std::uint32_t>(part.size()));
  }
}

}  // namespace

std::vector<GraphRow> graph_rows(std::uint32_t leg, const step::StepGraph& graph) {
  std::vector<GraphRow> rows;
  rows.reserve(graph.ops.size());
  for (std::uint32_t i = 0; i < graph.ops.size(); ++i) {
    const step::Op& op = graph.ops[i];
    GraphRow row;
    row.leg = leg;
    row.op = i;
    row.name = op.name;
    row.kind = op.kind();
    row.stream = to_string(op.stream());
    row.phase = to_string(op.phase);
    row.flops = op.flops();
    row.bytes = op.bytes();
    row.after = list_of(op.after);
    describe_work(graph, op, row);
    rows.push_back(std::move(row));
  }
  return rows;
}

std::map<std::string, std::vector<std::uint32_t>> group_parts(const step::StepGraph& graph, RankId rank) {
  std::map<std::string, std::vector<std::uint32_t>> parts;
  for (const step::Group& group : graph.groups) {
    std::vector<std::uint32_t>& ranks = parts[group.name];
    for (const RankId member : step::part_of(group, rank))
      ranks.push_back(member.value());
    std::sort(ranks.begin(), ranks.end());
  }
  return parts;
}

}  // namespace lockstep::record
