#include <cstdint>
#include <vector>

#include <gtest/gtest.h>

#include "harness/core/error.hpp"
#include "harness/step/interference.hpp"

namespace lockstep::step {
namespace {

constexpr std::int64_t kMs = 1'000'000;

InterferenceLoad small_load() {
  InterferenceLoad load;
  load.m = 4;
  load.n = 5;
  load.k = 6;
  load.products = 3;
  load.elements = 100;
  load.comms = 2;
  load.ranks = 2;
  return load;
}

TEST(Interference, ItsGraphsDifferInNothingButTheOps) {
  const StepGraph both = interference_graph(small_load(), Beside::both);
  const StepGraph products = interference_graph(small_load(), Beside::products_alone);
  const StepGraph comms = interference_graph(small_load(), Beside::comms_alone);
  for (const StepGraph* graph : {&both, &products, &comms}) {
    graph->check();
    EXPECT_EQ(graph->buffers.size(), both.buffers.size());
    EXPECT_EQ(graph->groups[0].parts, both.groups[0].parts);
  }
  EXPECT_EQ(both.ops.size(), 5U);
  EXPECT_EQ(products.ops.size(), 3U);
  EXPECT_EQ(comms.ops.size(), 2U);
  for (std::size_t i = 0; i < products.ops.size(); ++i)
    EXPECT_EQ(products.ops[i].name, both.ops[i].name) << "the same OpId";
  EXPECT_TRUE(both.ops[3].after.empty()) << "nothing waits for a product";
  EXPECT_EQ(both.ops[4].after, std::vector<OpId>{OpId(3)});
}

TEST(Interference, IsTheRatioOfMedians) {
  InterferenceSteps products{{0.010, 0.010, 0.500}, {0, 0, 0}};
  InterferenceSteps comms{{0, 0, 0}, {0.006, 0.004, 0.005}};
  InterferenceSteps both{{0.012, 0.012, 0.012}, {0.006, 0.006, 0.006}};
  const Interference found = interference_of(products, comms, both);
  EXPECT_DOUBLE_EQ(found.products_slowdown(), 1.2);
  EXPECT_DOUBLE_EQ(found.comms_slowdown(), 1.2);
  EXPECT_DOUBLE_EQ(found.covered, 0.5) << "communications were under way half of the time";
}

TEST(Interference, TakesTheLastEndOfAStepsCommunications) {
  const std::vector<StepStamp> steps{
      {.step = 0, .begin_ns = 100 * kMs, .end_ns = 120 * kMs, .compute_ns = 7 * kMs},
      {.step = 1, .begin_ns = 200 * kMs, .end_ns = 220 * kMs, .compute_ns = 8 * kMs}};
  const std::vector<CommStamp> comms{{0, 3, 100 * kMs, 110 * kMs, 0},
                                     {0, 4, 100 * kMs, 105 * kMs, 0},
                                     {1, 3, 201 * kMs, 202 * kMs, 0},
                                     {1, 4, 202 * kMs, 209 * kMs, 0}};
  const InterferenceSteps found = interference_steps(steps, comms, 2);
  EXPECT_EQ(found.products_s, (std::vector<double>{0.007, 0.008}));
  EXPECT_EQ(found.comms_s, (std::vector<double>{0.010, 0.009}));
}

class CountingCompute final : public ComputeBackend {
 public:
  void run(const Op& /*op*/, BufferSet& /*buffers*/, std::int64_t /*ready_ns*/) override { ++products; }
  [[nodiscard]] std::string name() const override { return "counting"; }
  [[nodiscard]] int busy_threads() const override { return 0; }
  [[nodiscard]] BufferSet::Need buffers_needed() const override { return BufferSet::Need::all; }
  int products = 0;
};

class CountingFabric final : public FabricBackend {
 public:
  Ticket start(const Comm& /*comm*/, const StepGraph& /*graph*/, BufferSet& /*buffers*/) override {
    return static_cast<Ticket>(comms++);
  }
  CommState test(Ticket ticket) override {
    return static_cast<int>(ticket) == fails_at ? CommState::failed : CommState::done;
  }
  [[nodiscard]] std::string error_text(Ticket /*ticket*/) const override { return "link down"; }
  [[nodiscard]] std::string name() const override { return "counting"; }
  int comms = 0;
  int fails_at = -1;
};

TEST(Interference, RunsEachAloneAndBothTogether) {
  const InterferenceLoad load = small_load();
  CountingCompute compute;
  CountingFabric fabric;
  BufferSet buffers(interference_graph(load, Beside::both), BufferSet::Need::all, RankId(0));
  FastClock clock;
  const Interference found =
      measure_interference(load, compute, fabric, buffers, clock, ExecutorOptions{}, 1, 4);
  EXPECT_EQ(compute.products, 2 * 5 * 3);
  EXPECT_EQ(fabric.comms, 2 * 5 * 2);
  EXPECT_GT(found.comms_alone_s, 0.0);
  EXPECT_GT(found.comms_beside_s, 0.0);
}

TEST(Interference, AStepThatFailsIsAnError) {
  const InterferenceLoad load = small_load();
  CountingCompute compute;
  CountingFabric fabric;
  fabric.fails_at = 3;
  BufferSet buffers(interference_graph(load, Beside::both), BufferSet::Need::all, RankId(0));
  FastClock clock;
  try {
    static_cast<void>(measure_interference(load, compute, fabric, buffers, clock, ExecutorOptions{}, 1, 4));
    FAIL() << "measured";
  } catch (const RunError& error) {
    EXPECT_NE(std::string(error.what()).find("link down"), std::string::npos);
  }
}

}  // namespace
}  // namespace lockstep::step
