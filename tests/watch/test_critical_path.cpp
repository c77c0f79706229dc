#include <gtest/gtest.h>

#include "harness/watch/critical_path.hpp"
#include "tests/watch/synthetic_launch.hpp"

namespace lockstep::watch {
namespace {

using tests::make_launch;

std::int64_t sum_ns(const std::vector<PathElement>& path) {
  std::int64_t sum = 0;
  for (const PathElement& element : path)
    sum += element.length_ns;
  return sum;
}

TEST(CriticalPath, GoesToTheRankThatAllWaitedFor) {
  const record::Evidence evidence =
      make_launch({.planted = {{tests::Planted::What::work, 40, tests::kBackward, {5}, 0.2}}});
  const LaunchView view = view_of(evidence, 0);
  const auto path = StampedSteps(view).critical_path(40, 0);
  ASSERT_TRUE(path.has_value());
  const auto worst = std::max_element(path->begin(), path->end(),
                                      [](const auto& a, const auto& b) { return a.extra_ns < b.extra_ns; });
  EXPECT_EQ(worst->rank, 5U);
  EXPECT_EQ(worst->op, static_cast<std::uint32_t>(tests::kBackward));
  EXPECT_EQ(worst->part, PathPart::work);
  EXPECT_NEAR(static_cast<double>(worst->extra_ns), 0.2e9, 0.005e9);
  EXPECT_EQ(path->back().rank, 0U);  // it ends where it was asked to
  // The chain accounts for the step from begin to end.
  const record::StepRow& row = *view.steps_of(40)[0];
  EXPECT_NEAR(static_cast<double>(sum_ns(*path)), static_cast<double>(row.end_ns - row.begin_ns), 2e6);
}

TEST(CriticalPath, NeedsStampsOfAllOpsAndAnotherStepToCompareWith) {
  record::Evidence evidence = make_launch({.stamped_steps = 2});
  EXPECT_TRUE(StampedSteps(view_of(evidence, 0)).critical_path(41, 0).has_value());
  EXPECT_FALSE(StampedSteps(view_of(evidence, 0)).critical_path(20, 0).has_value());
  evidence.ops.pop_back();
  EXPECT_FALSE(StampedSteps(view_of(evidence, 0)).critical_path(41, 0).has_value());
  EXPECT_FALSE(StampedSteps(view_of(evidence, 0)).critical_path(40, 0).has_value());
}

TEST(CriticalPath, AGraphThatPointsForwardDoesNotTrapIt) {
  record::Evidence evidence = make_launch({});
  for (record::GraphRow& row : evidence.graph)
    row.after = "0,6,x,,99999999999";
  EXPECT_TRUE(StampedSteps(view_of(evidence, 0)).critical_path(40, 0).has_value());
}

}  // namespace
}  // namespace lockstep::watch
