#include <vector>

#include <gtest/gtest.h>

#include "harness/stats/stall.hpp"

namespace lockstep::stats {
namespace {

TEST(StallRule, MedianAndMad) {
  const std::vector<double> values{1, 1, 2, 2, 4, 6, 9};
  EXPECT_DOUBLE_EQ(median(values), 2.0);
  EXPECT_DOUBLE_EQ(median_absolute_deviation(values), 1.0);
  EXPECT_DOUBLE_EQ(median({}), 0.0);
  EXPECT_DOUBLE_EQ(median_absolute_deviation({}), 0.0);
}

TEST(StallRule, EachOfTheThreeLimitsCanBeTheOneThatCounts) {
  const std::vector<double> wide{0.08, 0.09, 0.10, 0.11, 0.12};  // median 0.10, MAD 0.01
  StallRule rule{.mad_multiple = 5.0, .relative_floor = 0.2, .absolute_floor_s = 1e-3};
  EXPECT_NEAR(rule.threshold(wide).limit, 0.10 + 5 * 1.4826 * 0.01, 1e-12);

  const std::vector<double> even(50, 0.1);  // MAD 0
  EXPECT_NEAR(rule.threshold(even).limit, 0.12, 1e-12);

  const std::vector<double> fast(50, 1e-3);
  EXPECT_NEAR(rule.threshold(fast).limit, 2e-3, 1e-12);
}

TEST(StallRule, StallsDoNotHideEachOther) {
  std::vector<double> times(60, 0.1);
  for (std::size_t i = 0; i < 20; ++i)
    times[i] = 5.0;
  const StallThreshold threshold = StallRule{}.threshold(times);
  EXPECT_TRUE(threshold.is_stall(5.0));
  EXPECT_TRUE(threshold.is_stall(0.1201));
  EXPECT_FALSE(threshold.is_stall(0.1199));
  EXPECT_FALSE(threshold.is_stall(threshold.limit));
}

}  // namespace
}  // namespace lockstep::stats
