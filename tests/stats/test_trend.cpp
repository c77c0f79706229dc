#include <gtest/gtest.h>

#include "harness/stats/trend.hpp"
#include "tests/stats/synthetic.hpp"

namespace lockstep::stats {
namespace {

std::vector<Point> line(std::size_t count, double slope, double noise = 0.0, std::uint64_t seed = 1) {
  Random random{seed};
  std::vector<Point> series;
  for (std::size_t i = 0; i < count; ++i) {
    const auto at = static_cast<double>(i);
    series.push_back({at, 10.0 + slope * at + noise * tests::draw_normal(random)});
  }
  return series;
}

TEST(Trend, OfALineIsItsSlope) {
  const auto trend = robust_trend(line(100, 0.25), 0.95);
  ASSERT_TRUE(trend);
  EXPECT_NEAR(trend->slope, 0.25, 1e-12);
  EXPECT_NEAR(trend->slope_interval.low, 0.25, 1e-9);
  EXPECT_NEAR(trend->slope_interval.high, 0.25, 1e-9);
  EXPECT_NEAR(trend->value(0.0), 10.0, 1e-9);
  EXPECT_NEAR(trend->value(99.0), 10.0 + 99 * 0.25, 1e-9);
  EXPECT_EQ(trend->points, 64U);
  EXPECT_EQ(trend->begin, 0.0);
  EXPECT_EQ(trend->end, 99.0);
}

TEST(Trend, OutliersDoNotMoveIt) {
  std::vector<Point> series = line(200, 0.01, 0.05);
  for (std::size_t i = 150; i < 180; ++i)
    series[i].value += 100.0;
  const auto trend = robust_trend(series, 0.95);
  ASSERT_TRUE(trend);
  EXPECT_GT(trend->slope, 0.0);
  EXPECT_LT(trend->slope, 0.05) << "least squares would say 0.2 and more";
}

TEST(Trend, ItsIntervalHoldsTheTruthAsOftenAsItSays) {
  int held = 0;
  int wide = 0;
  constexpr int kSeries = 300;
  for (int seed = 0; seed < kSeries; ++seed) {
    const auto trend = robust_trend(line(60, 0.02, 0.3, static_cast<std::uint64_t>(seed) + 7), 0.9);
    ASSERT_TRUE(trend);
    held += trend->slope_interval.low <= 0.02 && 0.02 <= trend->slope_interval.high ? 1 : 0;
    wide += trend->slope_interval.low <= 0.0 ? 1 : 0;
  }
  EXPECT_GE(held, 250);
  EXPECT_LE(held, 292);
  EXPECT_LE(wide, 10) << "and it tells such a slope from none";
}

TEST(Trend, NeedsEnoughPoints) {
  EXPECT_FALSE(robust_trend(line(15, 1.0), 0.95));
  EXPECT_TRUE(robust_trend(line(16, 1.0), 0.95));
  EXPECT_TRUE(robust_trend(line(16, 1.0), 0.99999)) << "as of many ranks, judged together";
  EXPECT_FALSE(robust_trend(line(16, 1.0), 0.99999999)) << "no pair is left outside";
  const std::vector<Point> at_once(40, Point{3.0, 1.0});
  EXPECT_FALSE(robust_trend(at_once, 0.95));
}

}  // namespace
}  // namespace lockstep::stats
