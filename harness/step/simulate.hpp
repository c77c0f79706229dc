#pragma once

#include <vector>

#include "harness/step/graph.hpp"

namespace lockstep::step {

/// What ops cost on a modelled cluster. Rates in 1e9 per second, latencies one way.
struct CostModel {
  double gemm_gflops = 0.0;  ///< of one rank
  double memory_gbps = 0.0;  ///< GB/s of one rank, for updates
  double lan_latency_s = 0.0;
  double lan_gbps = 0.0;  ///< GB/s of one rank inside its site
  double wan_latency_s = 0.0;
  double wan_gbps = 0.0;                      ///< GB/s out of one site
  std::vector<std::uint32_t> ranks_per_site;  ///< of the leg
};

struct OpTime {
  double begin_s = 0.0;
  double end_s = 0.0;
};

struct StepPrediction {
  double step_s = 0.0;
  double compute_s = 0.0;      ///< sum of the compute ops
  double exposed_s = 0.0;      ///< step - compute
  double exposed_wan_s = 0.0;  ///< the part of it in which the op waited for spans sites
  std::vector<OpTime> ops;     ///< by op, from the step's begin
};

/// Time of one communication, alone: ring algorithms by the alpha-beta model (Hockney; ring all-reduce
/// 2(n-1) alpha + 2(n-1)/n S beta). A group over X sites crosses the WAN X times a turn, so that a round
/// costs (X alpha_wan + (n-X) alpha_lan)/n on average and its bytes pass the narrower of the two links.
[[nodiscard]] double predict_comm_s(const Comm& comm, const StepGraph& graph, const CostModel& model);

/// Runs the graph on the model: streams in order, each op when its stream is free and what it waits for is
/// done. All ranks are alike, so one of them is enough.
[[nodiscard]] StepPrediction simulate(const StepGraph& graph, const CostModel& model);

}  // namespace lockstep::step
