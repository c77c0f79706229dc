#include "harness/certify/communication.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

namespace lockstep::certify {
namespace {

std::map<std::uint32_t, const record::GraphRow*> comm_graph(const Launch& launch) {
  std::map<std::uint32_t, const record::GraphRow*> ops;
  for (const record::GraphRow* row : launch.graph)
    if (!row->group.empty())
      ops.emplace(row->op, row);
  return ops;
}

std::set<std::uint32_t> steady_steps(const Launch& launch) {
  std::set<std::uint32_t> steps;
  for (const JudgedStep& step : launch.steps)
    if (step.steady)
      steps.insert(step.step);
  return steps;
}

/// Own time less the waiting for the last rank to arrive.
std::int64_t transfer_ns(const record::CommRow& row) {
  return std::max<std::int64_t>(0, row.end_ns - row.begin_ns - row.wait_ns);
}

/// Exposure less the waiting within it. The waiting is the first part of [begin, end], the exposure ends
/// with the operation: only their overlap is waiting that the compute stream saw.
std::int64_t exposed_transfer_ns(const record::CommRow& row) {
  const std::int64_t own_ns = row.end_ns - row.begin_ns;
  const std::int64_t unseen_ns = std::max<std::int64_t>(0, own_ns - row.exposed_ns);
  const std::int64_t seen_wait_ns = std::max<std::int64_t>(0, row.wait_ns - unseen_ns);
  return std::max<std::int64_t>(0, row.exposed_ns - seen_wait_ns);
}

template <class Row>
bool is_every_rank(Row begin, Row end, std::uint32_t ranks) {
  std::uint32_t rank = 0;
  for (Row row = begin; row != end; ++row)
    if ((*row)->rank != rank++)
      return false;
  return rank == ranks;
}

/// Calls `take(graph row, rows of all ranks)` for each communication of each steady step.
template <class Take>
void for_each_operation(const Launch& launch, Take take) {
  const auto graph = comm_graph(launch);
  const auto steady = steady_steps(launch);
  for (std::size_t begin = 0; begin < launch.comms.size();) {
    std::size_t end = begin;
    while (end < launch.comms.size() && launch.comms[end]->step == launch.comms[begin]->step &&
           launch.comms[end]->op == launch.comms[begin]->op)
      ++end;
    const auto op = graph.find(launch.comms[begin]->op);
    if (op != graph.end() && steady.contains(launch.comms[begin]->step))
      take(*op->second, launch.comms.begin() + static_cast<std::ptrdiff_t>(begin),
           launch.comms.begin() + static_cast<std::ptrdiff_t>(end));
    begin = end;
  }
}

}  // namespace

double cut_bytes(const std::string& kind, double bytes, std::size_t sites) {
  if (kind == "barrier" || sites < 2)
    return 0.0;
  const auto m = static_cast<double>(sites);
  if (kind == "all_reduce")
    return bytes * 2.0 * (m - 1.0) / m;
  if (kind == "reduce_scatter" || kind == "all_gather" || kind == "all_to_all")
    return bytes * (m - 1.0) / m;
  return bytes;
}

double busbw_factor(const std::string& kind, std::uint32_t ranks) {
  const auto n = static_cast<double>(std::max(1U, ranks));
  if (kind == "all_reduce")
    return 2.0 * (n - 1.0) / n;
  if (kind == "reduce_scatter" || kind == "all_gather" || kind == "all_to_all")
    return (n - 1.0) / n;
  return 1.0;
}

std::vector<CommFigures> figure_comms(const std::vector<Round>& rounds, std::size_t sites) {
  using Key = std::tuple<std::string, std::string, std::uint64_t, std::uint32_t, bool>;
  std::map<Key, std::vector<double>> times;
  for (const Round& round : rounds)
    for (const Launch* launch : round.attempts)
      for_each_operation(*launch, [&](const record::GraphRow& op, auto begin, auto end) {
        std::int64_t longest_ns = 0;
        for (auto row = begin; row != end; ++row)
          longest_ns = std::max(longest_ns, transfer_ns(**row));
        times[{op.kind, op.group, op.bytes, op.group_ranks, op.spans_sites != 0}].push_back(
            static_cast<double>(longest_ns) / 1e9);
      });
  std::vector<CommFigures> figures;
  for (const auto& [key, samples] : times) {
    CommFigures& figure = figures.emplace_back();
    std::tie(figure.kind, figure.group, figure.bytes, figure.ranks, figure.spans_sites) = key;
    figure.samples = samples.size();
    figure.time_s = stats::quantile(samples, 0.5);
    if (figure.time_s <= 0.0 || figure.kind == "barrier")
      continue;
    const auto bytes = static_cast<double>(figure.bytes);
    figure.algbw = bytes / figure.time_s;
    figure.busbw = figure.algbw * busbw_factor(figure.kind, figure.ranks);
    if (figure.spans_sites)
      figure.cut_bandwidth = cut_bytes(figure.kind, bytes, sites) / figure.time_s;
  }
  return figures;
}

std::map<std::uint32_t, double> wan_transfer_by_step(const Launch& launch) {
  std::map<std::uint32_t, double> seconds;
  for_each_operation(launch, [&seconds](const record::GraphRow& op, auto begin, auto end) {
    if (op.spans_sites == 0)
      return;
    std::int64_t longest_ns = 0;
    for (auto row = begin; row != end; ++row)
      longest_ns = std::max(longest_ns, transfer_ns(**row));
    seconds[(*begin)->step] += static_cast<double>(longest_ns) / 1e9;
  });
  return seconds;
}

std::optional<WanFigures> figure_wan(const std::vector<Round>& rounds, std::size_t sites) {
  std::map<std::uint32_t, double> exposed_by_rank;
  WanFigures figures;
  std::size_t steps = 0;
  for (const Round& round : rounds) {
    for (const Launch* launch : round.attempts) {
      const auto graph = comm_graph(*launch);
      const std::size_t steady = steady_steps(*launch).size();
      if (steady > 0 && graph.empty())
        return std::nullopt;
      std::size_t operations = 0;
      bool every_rank = true;
      for_each_operation(*launch, [&](const record::GraphRow& op, auto begin, auto end) {
        ++operations;
        every_rank = every_rank && is_every_rank(begin, end, launch->leg->ranks);
        if (op.spans_sites == 0)
          return;
        std::int64_t longest_ns = 0;
        for (auto row = begin; row != end; ++row) {
          longest_ns = std::max(longest_ns, transfer_ns(**row));
          exposed_by_rank[(*row)->rank] += static_cast<double>(exposed_transfer_ns(**row)) / 1e9;
        }
        figures.transfer_s += static_cast<double>(longest_ns) / 1e9;
        figures.cut_bytes += cut_bytes(op.kind, static_cast<double>(op.bytes), sites);
      });
      if (!every_rank || operations != steady * graph.size())
        return std::nullopt;
      steps += steady;
    }
  }
  if (steps == 0)
    return std::nullopt;
  for (const auto& [rank, exposed_s] : exposed_by_rank) {
    if (exposed_s > figures.exposed_s) {
      figures.exposed_s = exposed_s;
      figures.worst_rank = rank;
    }
  }
  const auto count = static_cast<double>(steps);
  figures.exposed_s /= count;
  figures.transfer_s /= count;
  figures.cut_bytes /= count;
  return figures;
}

}  // namespace lockstep::certify
