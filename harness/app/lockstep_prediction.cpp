#include "harness/app/lockstep_prediction.hpp"

#include <algorithm>
#include <numeric>

#include "harness/core/error.hpp"
#include "workloads/transformer.hpp"

namespace lockstep::app {

Rates rates_of_plan(const plan::Plan& plan) {
  if (plan.compute.backend != plan::ComputeBackend::paced)
    return {};
  return {plan.compute.paced_gflops, plan.compute.paced_memory_gbps, "the plan's paced rates"};
}

step::StepGraph build_graph(const plan::Plan& plan, const std::vector<std::uint32_t>& ranks_per_site) {
  LOCKSTEP_EXPECT(plan.workload.kind == "transformer", "a workload that no builder knows");
  return workloads::build_transformer(plan.workload, step::RankLayout{ranks_per_site});
}

std::optional<step::StepPrediction> predict_step(const plan::Plan& plan, const step::StepGraph& graph,
                                                 const std::vector<std::uint32_t>& ranks_per_site,
                                                 const Rates& rates, std::uint32_t cores) {
  if (rates.gemm_gflops <= 0.0)
    return std::nullopt;
  const std::uint32_t ranks = std::accumulate(ranks_per_site.begin(), ranks_per_site.end(), 0U);
  const double share = cores > 0 && ranks > cores ? static_cast<double>(cores) / ranks : 1.0;
  return step::simulate(graph, {.gemm_gflops = rates.gemm_gflops * share,
                                .memory_gbps = rates.memory_gbps * share,
                                .lan_latency_s = plan.links.lan_latency_s,
                                .lan_gbps = plan.links.lan_gbps,
                                .wan_latency_s = plan.links.wan_latency_s,
                                .wan_gbps = plan.links.wan_gbps,
                                .ranks_per_site = ranks_per_site});
}

double sent_bytes(const step::StepGraph& graph) {
  double sum = 0.0;
  for (const step::Op& op : graph.ops) {
    const auto* comm = std::get_if<step::Comm>(&op.work);
    if (comm == nullptr || comm->kind == step::CommKind::barrier)
      continue;
    std::size_t ranks = 1;
    for (const auto& part : graph.group(comm->group).parts)
      ranks = std::max(ranks, part.size());
    if (ranks < 2)
      continue;
    const double share = static_cast<double>(ranks - 1) / static_cast<double>(ranks);
    double factor = 1.0;
    if (comm->kind == step::CommKind::all_reduce)
      factor = 2.0 * share;
    else if (comm->kind != step::CommKind::broadcast && comm->kind != step::CommKind::send_recv)
      factor = share;
    sum += factor * static_cast<double>(comm->bytes());
  }
  return sum;
}

}  // namespace lockstep::app
