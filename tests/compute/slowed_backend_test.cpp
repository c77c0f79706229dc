#include "harness/compute/slowed_backend.hpp"

#include <vector>

#include <gtest/gtest.h>

#include "tests/compute/small_graph.hpp"

namespace lockstep::compute {
namespace {

using testing::gemm_of;
using testing::product_graph;

/// Takes 100 ns an op, from when it is ready, on a clock of the test's own.
class HundredNs final : public step::ComputeBackend {
 public:
  explicit HundredNs(std::int64_t& now_ns) : now_ns_(now_ns) {}
  void run(const step::Op& /*op*/, step::BufferSet& /*buffers*/, std::int64_t ready_ns) override {
    now_ns_ = std::max(now_ns_, ready_ns) + 100;
  }
  [[nodiscard]] std::string name() const override { return "hundred"; }
  [[nodiscard]] int busy_threads() const override { return 3; }
  [[nodiscard]] step::BufferSet::Need buffers_needed() const override {
    return step::BufferSet::Need::communicated;
  }
  [[nodiscard]] std::vector<step::WrongProduct> check_products(std::uint32_t step,
                                                               step::BufferSet& /*buffers*/) override {
    return {{OpId{step}, 1, 0, 1.0, 2.0, 0.1}};
  }

 private:
  std::int64_t& now_ns_;
};

class SlowedBackendTest : public ::testing::Test {
 protected:
  void run(std::int64_t ready_ns) { slowed_.run(graph_.ops.front(), buffers_, ready_ns); }

  std::int64_t now_ns_ = 1000;
  step::StepGraph graph_ = product_graph(gemm_of(2, 2, 2));
  step::BufferSet buffers_{graph_, step::BufferSet::Need::all, RankId{0}};
  HundredNs inner_{now_ns_};
  SlowedBackend slowed_{inner_, [this] { return now_ns_; },
                        [this](std::int64_t until_ns) { now_ns_ = std::max(now_ns_, until_ns); }};
};

TEST_F(SlowedBackendTest, IsTheBackendItselfUntilAFactorIsSet) {
  run(1000);
  EXPECT_EQ(now_ns_, 1100);
  EXPECT_EQ(slowed_.name(), "hundred");
  EXPECT_EQ(slowed_.busy_threads(), 3);
  EXPECT_EQ(slowed_.buffers_needed(), step::BufferSet::Need::communicated);
  EXPECT_EQ(&slowed_.memory(), &inner_.memory());
  const auto wrong = slowed_.check_products(7, buffers_);
  ASSERT_EQ(wrong.size(), 1U) << "its products are checked all the same";
  EXPECT_EQ(wrong[0].op, OpId{7});
}

TEST_F(SlowedBackendTest, StretchesEachOpAndNotTheWaitBeforeIt) {
  run(1000);
  slowed_.set_factor(3.0);
  run(1000);  // ready long ago; the one before ended at 1100
  EXPECT_EQ(now_ns_, 1400);
  run(1000);
  EXPECT_EQ(now_ns_, 1700) << "what was slept is not stretched again";
  run(2000);  // waited for something
  EXPECT_EQ(now_ns_, 2300);
  slowed_.set_factor(1.0);
  run(2000);
  EXPECT_EQ(now_ns_, 2400);
}

}  // namespace
}  // namespace lockstep::compute
