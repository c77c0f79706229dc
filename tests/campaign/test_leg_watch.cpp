#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "harness/campaign/leg_watch.hpp"
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

TEST(LegLimits, LieAboveTheRanksOwnDeadlines) {
  const plan::Plan plan = colocated_plan(
      {"deadlines.launch_s=7", "deadlines.init_s=8", "deadlines.site_map_s=2", "deadlines.first_op_s=3",
       "deadlines.op_s=8", "deadlines.wan_op_s=9", "deadlines.merge_s=4", "deadlines.finalize_s=6"});
  const LegLimits limits = leg_limits(plan, 0.0, 5.0);
  EXPECT_DOUBLE_EQ(limits.first_step_s, 28.0);
  EXPECT_DOUBLE_EQ(limits.progress_s, 23.0);
  EXPECT_DOUBLE_EQ(limits.finish_s, 15.0);
  EXPECT_DOUBLE_EQ(leg_limits(plan, 100.0, 5.0).progress_s, 1005.0);
}

}  // namespace
}  // namespace lockstep::campaign
