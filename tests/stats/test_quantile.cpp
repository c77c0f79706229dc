#include <numeric>

#include <gtest/gtest.h>

#include "harness/stats/quantile.hpp"

namespace lockstep::stats {
namespace {

std::vector<double> one_to(std::size_t n) {
  std::vector<double> values(n);
  std::iota(values.rbegin(), values.rend(), 1.0);  // descending: order must not matter
  return values;
}

TEST(Quantile, InterpolatesBetweenOrderStatistics) {
  // Type 7 of 1, 2, 3, 4 at 0.4: position 1.2, so 2 + 0.2.
  EXPECT_DOUBLE_EQ(quantile(one_to(4), 0.4), 2.2);
  EXPECT_DOUBLE_EQ(quantile(one_to(5), 0.5), 3.0);
  EXPECT_DOUBLE_EQ(quantile(one_to(101), 0.99), 100.0);
  EXPECT_DOUBLE_EQ(quantile(one_to(7), 0.0), 1.0);
  EXPECT_DOUBLE_EQ(quantile(one_to(7), 1.0), 7.0);
  EXPECT_DOUBLE_EQ(quantile(std::vector<double>{3.5}, 0.99), 3.5);
}

TEST(Quantile, TailsNeedEnoughSamples) {
  EXPECT_FALSE(summarize(one_to(19)).p95.has_value());
  EXPECT_TRUE(summarize(one_to(20)).p95.has_value());
  EXPECT_FALSE(summarize(one_to(99)).p99.has_value());
  EXPECT_DOUBLE_EQ(summarize(one_to(100)).p99.value(), 99.01);
}

TEST(Quantile, Summary) {
  const Summary summary = summarize(std::vector<double>{2, 4, 4, 4, 5, 5, 7, 9});
  EXPECT_EQ(summary.count, 8U);
  EXPECT_DOUBLE_EQ(summary.min, 2.0);
  EXPECT_DOUBLE_EQ(summary.max, 9.0);
  EXPECT_DOUBLE_EQ(summary.mean, 5.0);
  EXPECT_NEAR(summary.stdev, 2.138089935299395, 1e-14);  // sqrt(32/7)
  EXPECT_DOUBLE_EQ(summary.p50, 4.5);
  EXPECT_EQ(summarize({}).count, 0U);
  EXPECT_DOUBLE_EQ(stdev(std::vector<double>{3.0}), 0.0);
}

}  // namespace
}  // namespace lockstep::stats
