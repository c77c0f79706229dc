#include <gtest/gtest.h>

#include "harness/campaign/time_left.hpp"

namespace lockstep::campaign {
namespace {

const std::vector<Launch> kTwoRounds{{0, 0, 0, 0}, {1, 1, 0, 0}, {2, 1, 1, 0}, {3, 0, 1, 0}};

TEST(TimeLeft, KnowsNothingAtFirst) {
  EXPECT_FALSE(TimeLeft(kTwoRounds, {}).estimate_s(0, 1.0, 0, 100, 0.0).has_value());
}

TEST(TimeLeft, TakesThePredictionUntilStepsAreSeen) {
  const TimeLeft left(kTwoRounds, {10.0, 20.0});
  EXPECT_DOUBLE_EQ(left.estimate_s(0, 4.0, 0, 100, 0.0).value(), 6.0 + 20.0 + 20.0 + 10.0);
  EXPECT_DOUBLE_EQ(left.estimate_s(0, 4.0, 50, 100, 10.0).value(), 5.0 + 20.0 + 20.0 + 10.0);
}

TEST(TimeLeft, WithoutAPredictionTheRunningLaunchStandsForTheOthers) {
  EXPECT_DOUBLE_EQ(TimeLeft(kTwoRounds, {}).estimate_s(0, 5.0, 50, 100, 10.0).value(), 5.0 + 3 * 10.0);
}

TEST(TimeLeft, PrefersWhatWasSeenOfTheSameLeg) {
  TimeLeft left(kTwoRounds, {10.0, 20.0});
  left.ended(kTwoRounds[0], 12.0);
  EXPECT_DOUBLE_EQ(left.estimate_s(1, 1.0, 0, 100, 0.0).value(), 11.0 + 12.0 + 12.0);
  left.ended(kTwoRounds[1], 30.0);
  EXPECT_DOUBLE_EQ(left.estimate_s(2, 0.0, 0, 100, 0.0).value(), 30.0 + 12.0);
}

TEST(TimeLeft, NeverGoesBelowZeroForALateLaunch) {
  EXPECT_DOUBLE_EQ(TimeLeft({{0, 0, 0, 0}}, {10.0}).estimate_s(0, 50.0, 0, 100, 0.0).value(), 0.0);
}

TEST(TimeLeft, IsCautiousAboutALegThatHasNotRunYet) {
  TimeLeft left({{0, 0, 0, 0}, {1, 1, 0, 0}}, {5.0, 50.0});
  EXPECT_EQ(left.cautious_launch_s(1), 50.0);
  left.ended({0, 0, 0, 0}, 8.0);
  EXPECT_EQ(left.cautious_launch_s(1), 50.0) << "the prediction is longer than what another leg took";
  EXPECT_EQ(left.cautious_launch_s(0), 8.0) << "seen";
  left.ended({1, 1, 0, 0}, 20.0);
  EXPECT_EQ(left.cautious_launch_s(1), 20.0) << "what was seen of a leg outweighs the prediction";
  EXPECT_FALSE(TimeLeft({{0, 0, 0, 0}}, {}).cautious_launch_s(0));
}

}  // namespace
}  // namespace lockstep::campaign
