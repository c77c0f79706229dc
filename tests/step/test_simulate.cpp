#include <gtest/gtest.h>

#include "harness/step/simulate.hpp"
#include "tests/step/small_graph.hpp"

namespace lockstep::step {
namespace {

using testing_support::SmallGraph;

CostModel model_of(std::vector<std::uint32_t> ranks_per_site) {
  CostModel model;
  model.gemm_gflops = 1.0;
  model.memory_gbps = 1.0;
  model.lan_latency_s = 1e-6;
  model.lan_gbps = 10.0;
  model.wan_latency_s = 1e-3;
  model.wan_gbps = 1.0;
  model.ranks_per_site = std::move(ranks_per_site);
  return model;
}

TEST(PredictComm, FollowsTheRingFormula) {
  constexpr std::uint64_t kElements = 250'000;  // 1 MB
  SmallGraph in_site({{4}}, kElements);
  in_site.all_reduce("comm");
  const auto& comm = std::get<Comm>(in_site.graph().ops[0].work);
  EXPECT_NEAR(predict_comm_s(comm, in_site.graph(), model_of({4})), 6 * 1e-6 + 1.5 * 1e6 / 10e9, 1e-12);

  SmallGraph over_sites({{2, 2}}, kElements);
  over_sites.all_reduce("comm");
  const auto& wide = std::get<Comm>(over_sites.graph().ops[0].work);
  // Two of four neighbours in the ring cross the WAN.
  EXPECT_NEAR(predict_comm_s(wide, over_sites.graph(), model_of({2, 2})),
              6 * (2 * 1e-3 + 2 * 1e-6) / 4 + 1.5 * 1e6 / 1e9, 1e-12);

  SmallGraph alone({{1}}, kElements);
  alone.all_reduce("comm");
  EXPECT_EQ(predict_comm_s(std::get<Comm>(alone.graph().ops[0].work), alone.graph(), model_of({1})), 0.0);
}

TEST(Simulate, HidesCommunicationBehindCompute) {
  SmallGraph small({{2, 2}}, 10'000);
  const OpId a = small.gemm("a", {}, 100);  // 2 ms at 1 GFLOP/s
  const OpId reduce = small.all_reduce("reduce", {a});
  small.gemm("b", {}, 100);
  const OpId optimizer = small.gemm("optimizer", {reduce}, 10);
  const StepPrediction hidden = simulate(small.graph(), model_of({2, 2}));
  const double comm_s =
      predict_comm_s(std::get<Comm>(small.graph().op(reduce).work), small.graph(), model_of({2, 2}));
  EXPECT_NEAR(comm_s, 3e-3 + 6 * 1e-6 / 2 + 6e-5, 1e-9);
  EXPECT_NEAR(hidden.compute_s, 4.002e-3, 1e-9);
  EXPECT_NEAR(hidden.exposed_s, comm_s - 2e-3, 1e-9);
  EXPECT_NEAR(hidden.exposed_wan_s, hidden.exposed_s, 1e-12);
  EXPECT_NEAR(hidden.ops[optimizer.value()].begin_s, 2e-3 + comm_s, 1e-9);
  EXPECT_NEAR(hidden.step_s, hidden.compute_s + hidden.exposed_s, 1e-12);
}

TEST(Simulate, CountsATrailingCommunicationAsExposed) {
  SmallGraph small({{2, 2}}, 10'000);
  small.all_reduce("reduce", {small.gemm("a", {}, 100)});
  const StepPrediction prediction = simulate(small.graph(), model_of({2, 2}));
  EXPECT_GT(prediction.exposed_wan_s, 3e-3);
  EXPECT_NEAR(prediction.step_s, 2e-3 + prediction.exposed_s, 1e-12);
}

}  // namespace
}  // namespace lockstep::step
