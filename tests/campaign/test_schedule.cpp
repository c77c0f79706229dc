#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "harness/campaign/schedule.hpp"
#include "tests/campaign/sample_plan.hpp"

namespace lockstep::campaign {
namespace {

std::vector<std::string> names(const plan::Plan& plan, const std::vector<Launch>& launches) {
  std::vector<std::string> names;
  for (const Launch& launch : launches)
    names.push_back(plan.legs[launch.leg].name + std::to_string(launch.round));
  return names;
}

TEST(Schedule, TurnsRoundEveryOtherRound) {
  const plan::Plan plan = colocated_plan({"run.rounds=3"});
  EXPECT_THAT(names(plan, schedule(plan)),
              testing::ElementsAre("A0", "B0", "joint0", "joint1", "B1", "A1", "A2", "B2", "joint2"));
}

TEST(Schedule, NumbersLaunchesInOrder) {
  const auto launches = schedule(colocated_plan());
  ASSERT_EQ(launches.size(), 6U);
  for (std::uint32_t i = 0; i < launches.size(); ++i)
    EXPECT_EQ(launches[i].index, i);
}

TEST(Schedule, LinearDriftWeighsEquallyOnEachLegOverAnEvenNumberOfRounds) {
  const plan::Plan plan = colocated_plan({"run.rounds=4"});
  std::vector<double> mean_position(plan.legs.size(), 0.0);
  for (const Launch& launch : schedule(plan))
    mean_position[launch.leg] += launch.index / 4.0;
  for (const double position : mean_position)
    EXPECT_DOUBLE_EQ(position, mean_position.front());
}

TEST(Schedule, RowSaysWhatIsLaunched) {
  const plan::Plan plan = colocated_plan();
  const record::LegRow row =
      leg_row(plan, Launch{.index = 4, .leg = 2, .round = 1, .launched_utc_ns = 77}, 4);
  EXPECT_EQ(row.leg, 4U);
  EXPECT_EQ(row.name, "joint");
  EXPECT_EQ(row.kind, "joint");
  EXPECT_EQ(row.sites, "A,B");
  EXPECT_EQ(row.round, 1U);
  EXPECT_EQ(row.ranks, 4U);
  EXPECT_EQ(row.steps, 10U);
  EXPECT_EQ(row.warmup_steps, 2U);
  EXPECT_EQ(row.launched_utc_ns, 77);
}

TEST(Schedule, AFurtherAttemptHasTheStepsThatAreLeftAndWarmsUpAgain) {
  const plan::Plan plan = colocated_plan();
  const record::LegRow row = leg_row(plan, Launch{6, 2, 1, 1, 7}, 4);
  EXPECT_EQ(row.attempt, 1U);
  EXPECT_EQ(row.first_step, 7U);
  EXPECT_EQ(row.warmup_steps, 2U);
  EXPECT_EQ(row.steps, 3U);
  const record::LegRow last = leg_row(plan, Launch{6, 2, 1, 1, 11}, 4);
  EXPECT_EQ(last.warmup_steps, 0U);
  EXPECT_EQ(last.steps, 1U);
}

}  // namespace
}  // namespace lockstep::campaign
