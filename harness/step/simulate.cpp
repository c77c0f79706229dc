#include "harness/step/simulate.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <set>

namespace lockstep::step {
namespace {

std::uint32_t sites_of_part(const std::vector<RankId>& part, const RankLayout& layout) {
  std::set<std::uint32_t> sites;
  for (const RankId rank : part)
    sites.insert(layout.site_of(rank));
  return static_cast<std::uint32_t>(sites.size());
}

/// Rounds of one message each that the ring algorithm of an operation takes, and bytes that each link
/// carries.
struct RingCost {
  double rounds = 0.0;
  double bytes = 0.0;
};

RingCost ring_cost(CommKind kind, double ranks, double bytes) {
  const double share = (ranks - 1) / ranks;
  switch (kind) {
    case CommKind::all_reduce:
      return {2 * (ranks - 1), 2 * share * bytes};
    case CommKind::reduce_scatter:
    case CommKind::all_gather:
    case CommKind::all_to_all:
      return {ranks - 1, share * bytes};
    case CommKind::broadcast:
      return {ranks - 1, bytes};
    case CommKind::send_recv:
      return {1, bytes};
    case CommKind::barrier:
      return {2 * std::ceil(std::log2(ranks)), 0.0};
  }
  return {};
}

double seconds_for(const Op& op, const StepGraph& graph, const CostModel& model) {
  if (const auto* gemm = std::get_if<Gemm>(&op.work))
    return gemm->flops() / (model.gemm_gflops * 1e9);
  if (const auto* update = std::get_if<Update>(&op.work))
    return model.memory_gbps > 0.0 ? update->bytes() / (model.memory_gbps * 1e9) : 0.0;
  return predict_comm_s(std::get<Comm>(op.work), graph, model);
}

}  // namespace

double predict_comm_s(const Comm& comm, const StepGraph& graph, const CostModel& model) {
  const RankLayout layout{model.ranks_per_site};
  double slowest = 0.0;
  // Parts of one shape cost the same; looking at the distinct ones keeps this linear in the ranks.
  std::set<std::array<std::uint32_t, 2>> seen;
  for (const auto& part : graph.group(comm.group).parts) {
    const auto ranks = static_cast<std::uint32_t>(part.size());
    const std::uint32_t sites = sites_of_part(part, layout);
    if (ranks < 2 || !seen.insert({ranks, sites}).second)
      continue;
    const double n = ranks;
    const double crossings = sites > 1 ? sites : 0;
    const RingCost cost = ring_cost(comm.kind, n, static_cast<double>(comm.bytes()));
    const double latency_s =
        cost.rounds * (crossings * model.wan_latency_s + (n - crossings) * model.lan_latency_s) / n;
    const double gbps = sites > 1 ? std::min(model.lan_gbps, model.wan_gbps) : model.lan_gbps;
    slowest = std::max(slowest, latency_s + (gbps > 0.0 ? cost.bytes / (gbps * 1e9) : 0.0));
  }
  return slowest;
}

StepPrediction simulate(const StepGraph& graph, const CostModel& model) {
  StepPrediction prediction;
  prediction.ops.resize(graph.ops.size());
  std::array<double, 2> stream_free_s{0.0, 0.0};
  for (std::size_t i = 0; i < graph.ops.size(); ++i) {
    const Op& op = graph.ops[i];
    double& free_s = stream_free_s[static_cast<std::size_t>(op.stream())];
    double begin_s = free_s;
    bool waits_for_wan = false;
    for (const OpId dependency : op.after) {
      const double end_s = prediction.ops[dependency.value()].end_s;
      if (end_s <= begin_s)
        continue;
      begin_s = end_s;
      const auto* comm = std::get_if<Comm>(&graph.op(dependency).work);
      waits_for_wan = comm != nullptr && graph.group(comm->group).spans_sites;
    }
    const double duration_s = seconds_for(op, graph, model);
    prediction.ops[i] = {begin_s, begin_s + duration_s};
    if (op.stream() == Stream::compute) {
      prediction.compute_s += duration_s;
      if (waits_for_wan)
        prediction.exposed_wan_s += begin_s - free_s;
    }
    free_s = begin_s + duration_s;
  }
  const double compute_end_s = stream_free_s[static_cast<std::size_t>(Stream::compute)];
  prediction.step_s = std::max(stream_free_s[0], stream_free_s[1]);
  prediction.exposed_s = prediction.step_s - prediction.compute_s;
  if (prediction.step_s > compute_end_s) {
    // Communication outlasts the compute stream: the tail belongs to the last op.
    for (std::size_t i = graph.ops.size(); i-- > 0;) {
      const auto* comm = std::get_if<Comm>(&graph.ops[i].work);
      if (comm == nullptr)
        continue;
      if (graph.group(comm->group).spans_sites)
        prediction.exposed_wan_s += prediction.step_s - compute_end_s;
      break;
    }
  }
  return prediction;
}

}  // namespace lockstep::step
