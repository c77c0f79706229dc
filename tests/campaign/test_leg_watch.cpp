#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "harness/campaign/leg_watch.hpp"
#include "harness/watch/deadlines.hpp"
#include "tests/campaign/sample_plan.hpp"

namespace lockstep::campaign {
namespace {

using record::RankPhase;

constexpr std::int64_t kSecond = 1'000'000'000;

class LegWatchTest : public testing::Test {
 protected:
  std::optional<Diagnosis> at(double seconds, RankPhase furthest, std::uint32_t steps) {
    return watch_.observe(static_cast<std::int64_t>(seconds * kSecond), {4, furthest, steps});
  }
  LegWatch watch_{{.first_step_s = 10.0, .progress_s = 5.0, .finish_s = 3.0}, 0};
};

TEST_F(LegWatchTest, WaitsForTheFirstStepAndNotLonger) {
  EXPECT_FALSE(at(9.9, RankPhase::set_up, 0));
  const auto overdue = at(10.1, RankPhase::set_up, 0);
  ASSERT_TRUE(overdue);
  EXPECT_EQ(overdue->kind, "launch");
  EXPECT_THAT(overdue->message, testing::HasSubstr("set_up"));
  EXPECT_FALSE(watch_.stepped());
}

TEST_F(LegWatchTest, StepsCountFromTheFirstStepAndNotFromTheLaunch) {
  EXPECT_FALSE(at(9.0, RankPhase::stepping, 0));
  EXPECT_TRUE(watch_.stepped());
  EXPECT_FALSE(at(13.9, RankPhase::stepping, 0));
  const auto overdue = at(14.1, RankPhase::stepping, 0);
  ASSERT_TRUE(overdue);
  EXPECT_EQ(overdue->kind, "deadline");
}

TEST_F(LegWatchTest, EachStepRenewsTheWait) {
  for (std::uint32_t step = 0; step < 100; ++step)
    ASSERT_FALSE(at(4.0 * step, RankPhase::stepping, step)) << step;
  EXPECT_TRUE(at(4.0 * 99 + 21.0, RankPhase::stepping, 99));
}

TEST_F(LegWatchTest, SlowStepsEarnALongerWait) {
  EXPECT_FALSE(at(0.0, RankPhase::stepping, 0));
  EXPECT_FALSE(at(4.0, RankPhase::stepping, 1));
  EXPECT_FALSE(at(4.0 + 19.9, RankPhase::stepping, 1));  // 5 x the longest interval, 4 s
  EXPECT_TRUE(at(4.0 + 20.1, RankPhase::stepping, 1));
}

TEST_F(LegWatchTest, TheEndHasALimitOfItsOwn) {
  EXPECT_FALSE(at(1.0, RankPhase::stepping, 10));
  EXPECT_FALSE(at(1.1, RankPhase::collecting, 10));
  EXPECT_FALSE(at(4.0, RankPhase::finalizing, 10));
  const auto overdue = at(4.2, RankPhase::done, 10);
  ASSERT_TRUE(overdue);
  EXPECT_THAT(overdue->message, testing::HasSubstr("did not end"));
}

TEST_F(LegWatchTest, ALaunchThatIsSeenOnlyAtItsEndIsNotLate) {
  EXPECT_FALSE(at(0.2, RankPhase::done, 10));
  EXPECT_TRUE(watch_.stepped());
}

TEST_F(LegWatchTest, ARankThatAllowsItselfMoreIsGivenMore) {
  LegWatch watch({.first_step_s = 10.0, .progress_s = 5.0, .finish_s = 3.0, .slack_s = 2.0}, 0);
  Sight sight{4, RankPhase::stepping, 0, 30.0, 1};
  EXPECT_FALSE(watch.observe(0, sight));
  EXPECT_FALSE(watch.observe(31 * kSecond, sight));
  EXPECT_TRUE(watch.observe(33 * kSecond, sight));
}

TEST_F(LegWatchTest, BeforeTheFirstStepTooARankIsGivenWhatItAllowsItself) {
  Sight sight{4, RankPhase::checkpoint, 0, 30.0, 0};
  EXPECT_FALSE(watch_.observe(8 * kSecond, sight));
  sight.change = 1;  // it begins to load
  EXPECT_FALSE(watch_.observe(9 * kSecond, sight));
  EXPECT_FALSE(watch_.observe(38 * kSecond, sight));
  EXPECT_TRUE(watch_.observe(40 * kSecond, sight));
}

TEST_F(LegWatchTest, AnotherPhaseRenewsTheWaitAsAStepDoes) {
  Sight sight{4, RankPhase::stepping, 3, 0.0, 1};
  EXPECT_FALSE(watch_.observe(0, sight));
  sight.change = 2;
  EXPECT_FALSE(watch_.observe(4 * kSecond, sight));
  EXPECT_FALSE(watch_.observe(8 * kSecond, sight));
  EXPECT_TRUE(watch_.observe(10 * kSecond, sight));
}

TEST(LegLimits, LieAboveTheRanksOwnDeadlines) {
  const plan::Plan plan =
      colocated_plan({"deadlines.launch_s=7", "deadlines.init_s=8", "deadlines.site_map_s=3",
                      "deadlines.first_op_s=4", "deadlines.op_s=9", "deadlines.wan_op_s=2",
                      "deadlines.step_s=6", "deadlines.merge_s=5", "deadlines.finalize_s=6"});
  const LegLimits limits = leg_limits(plan, 0.0, 5.0);
  EXPECT_DOUBLE_EQ(limits.first_step_s, 7 + 8 + 3 + 2 * 4 + 5)
      << "clocks and the first barrier have 4 s each";
  EXPECT_DOUBLE_EQ(limits.progress_s, 2 * 9 + 5);
  EXPECT_DOUBLE_EQ(limits.finish_s, 2 * 5 + 6 + 5) << "collection and the wait for its end";
  EXPECT_DOUBLE_EQ(leg_limits(plan, 100.0, 5.0).progress_s, 1005.0);
}

TEST(LegLimits, FollowTheRuleWhereThePlanGivesNothing) {
  const plan::Plan plan = colocated_plan({"deadlines.first_op_s=4", "deadlines.op_s=0.5"});
  const watch::StepDeadlines ranks(plan.deadlines, {watch::OpReach::site, watch::OpReach::wan});
  EXPECT_DOUBLE_EQ(leg_limits(plan, 0.0, 1.0).progress_s, 2 * 4 + 1);
  EXPECT_GT(leg_limits(plan, 0.0, 1.0).progress_s, static_cast<double>(ranks.step_ns()) / kSecond);
}

}  // namespace
}  // namespace lockstep::campaign
