#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "harness/plan/plan.hpp"
#include "harness/step/graph.hpp"
#include "harness/step/simulate.hpp"

namespace lockstep::app {

/// Rates of one rank, to reckon with.
struct Rates {
  double gemm_gflops = 0.0;  ///< GFLOP/s (1e9); 0: not known, so no times are predicted
  double memory_gbps = 0.0;  ///< GB/s (1e9), for the optimizer pass
  std::string basis;         ///< where they come from, for people
};

/// The plan's own rates for paced compute, else none.
[[nodiscard]] Rates rates_of_plan(const plan::Plan& plan);

/// The step graph of the plan's workload on the given ranks.
[[nodiscard]] step::StepGraph build_graph(const plan::Plan& plan,
                                          const std::vector<std::uint32_t>& ranks_per_site);

/// One step on the links that the plan declares; nullopt without a GEMM rate. When `cores` is not 0, ranks
/// that compute for real share that many cores.
[[nodiscard]] std::optional<step::StepPrediction> predict_step(
    const plan::Plan& plan, const step::StepGraph& graph, const std::vector<std::uint32_t>& ranks_per_site,
    const Rates& rates, std::uint32_t cores);

/// Bytes that one rank puts on the wire in a step, all communications by ring algorithms: all-reduce 2(n-1)/n
/// S; reduce-scatter, all-gather, all-to-all (n-1)/n S; broadcast and send/recv S.
[[nodiscard]] double sent_bytes(const step::StepGraph& graph);

}  // namespace lockstep::app
