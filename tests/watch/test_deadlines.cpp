#include <array>
#include <optional>
#include <vector>

#include <gtest/gtest.h>

#include "harness/watch/deadlines.hpp"

namespace lockstep::watch {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;

/// One communication inside a site and one between sites.
class StepDeadlinesTest : public testing::Test {
 protected:
  void see(int steps, std::int64_t step_ns, std::int64_t site_ns, std::int64_t wan_ns) {
    const std::array<std::int64_t, 2> comms{site_ns, wan_ns};
    for (int i = 0; i < steps; ++i)
      deadlines().see_step(step_ns, comms);
  }
  StepDeadlines& deadlines() {
    if (!deadlines_)
      deadlines_.emplace(plan_, std::vector{OpReach::site, OpReach::wan});
    return *deadlines_;
  }
  [[nodiscard]] std::int64_t site() { return deadlines().comm_ns()[0]; }
  [[nodiscard]] std::int64_t wan() { return deadlines().comm_ns()[1]; }

  plan::Deadlines plan_{.first_op_s = 60.0, .least_s = 5.0};
  std::optional<StepDeadlines> deadlines_;
};

TEST_F(StepDeadlinesTest, FirstStepsHaveTimeToConnect) {
  see(4, kSecond, kSecond / 10, kSecond / 2);
  EXPECT_EQ(site(), 60 * kSecond);
  EXPECT_EQ(wan(), 60 * kSecond);
  EXPECT_EQ(deadlines().step_ns(), 120 * kSecond);
}

TEST_F(StepDeadlinesTest, FiveTimesTheLongestOfItsKindAfterFiveSteps) {
  see(4, 20 * kSecond, 2 * kSecond, 3 * kSecond);
  see(1, 4 * kSecond, kSecond, 7 * kSecond);
  EXPECT_EQ(site(), 10 * kSecond);
  EXPECT_EQ(wan(), 35 * kSecond);
  EXPECT_EQ(deadlines().longest_comm_ns(), 35 * kSecond);
  EXPECT_EQ(deadlines().step_ns(), 100 * kSecond);
  see(1, kSecond, 4 * kSecond, kSecond);  // later ones count too
  EXPECT_EQ(site(), 20 * kSecond);
}

TEST_F(StepDeadlinesTest, NeverLessThanTheLeast) {
  see(5, 1000, 10, 20);
  EXPECT_EQ(site(), 5 * kSecond);
  EXPECT_EQ(wan(), 5 * kSecond);
  EXPECT_EQ(deadlines().step_ns(), 5 * kSecond + 1000) << "the communication's deadline passes first";
}

TEST_F(StepDeadlinesTest, WhatThePlanGivesIsFixed) {
  plan_.op_s = 2.0;
  plan_.wan_op_s = 9.0;
  plan_.step_s = 3.0;
  const auto expect_given = [this] {
    EXPECT_EQ(site(), 2 * kSecond);
    EXPECT_EQ(wan(), 9 * kSecond);
    EXPECT_EQ(deadlines().step_ns(), 3 * kSecond);
  };
  expect_given();
  see(9, 40 * kSecond, 40 * kSecond, 40 * kSecond);
  expect_given();
}

TEST_F(StepDeadlinesTest, AStepHasRoomForACommunicationAtItsDeadline) {
  plan_.wan_op_s = 90.0;
  EXPECT_EQ(deadlines().step_ns(), 150 * kSecond);
  see(5, kSecond, 1, 1);
  EXPECT_EQ(deadlines().step_ns(), 91 * kSecond);
}

TEST_F(StepDeadlinesTest, GivesTheSameMemoryForEver) {
  const std::int64_t* memory = deadlines().comm_ns().data();
  see(7, 1, 1, 1);
  EXPECT_EQ(deadlines().comm_ns().data(), memory);
}

TEST(FirstStepAllowance, IsWhatARankAllowsItself) {
  EXPECT_DOUBLE_EQ(first_step_allowance_s({.first_op_s = 10.0}), 20.0);
  EXPECT_DOUBLE_EQ(first_step_allowance_s({.first_op_s = 10.0, .wan_op_s = 25.0}), 35.0);
  EXPECT_DOUBLE_EQ(first_step_allowance_s({.first_op_s = 10.0, .step_s = 4.0}), 4.0);
}

}  // namespace
}  // namespace lockstep::watch
