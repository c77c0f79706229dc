#include <algorithm>
#include <cmath>
#include <numeric>

#include <gmock/gmock.h>

#include "harness/stats/bootstrap.hpp"
#include "harness/stats/quantile.hpp"
#include "tests/stats/synthetic.hpp"

namespace lockstep::stats {
namespace {

std::vector<double> draw_ar1(std::size_t n, double rho, std::uint64_t seed) {
  Random random(seed);
  return tests::draw_launch(random, n, 1.0,
                            {.step = 0.1, .correlation = rho, .launch = 0.0, .outlier_share = 0.0});
}

TEST(Random, IsTheSameEverywhere) {
  Random random(42);
  const std::uint64_t state = mix64(42);
  EXPECT_EQ(random.next(), mix64(state));
  EXPECT_EQ(random.next(), mix64(state + 0x9e3779b97f4a7c15ULL));
}

TEST(Random, IndexReachesEveryValueAndNoMore) {
  Random random(7);
  std::vector<int> seen(10, 0);
  for (int i = 0; i < 10000; ++i)
    ++seen.at(random.index(10));
  EXPECT_THAT(seen, testing::Each(testing::AllOf(testing::Gt(850), testing::Lt(1150))));
}

TEST(Bootstrap, Lag1Autocorrelation) {
  EXPECT_NEAR(lag1_autocorrelation(draw_ar1(20000, 0.6, 3)), 0.6, 0.03);
  EXPECT_NEAR(lag1_autocorrelation(draw_ar1(20000, 0.0, 3)), 0.0, 0.03);
  EXPECT_DOUBLE_EQ(lag1_autocorrelation(std::vector<double>(50, 2.0)), 0.0);
}

TEST(Bootstrap, BlocksGrowWithLengthAndCorrelation) {
  EXPECT_EQ(automatic_block_length(draw_ar1(1001, 0.0, 1)), 11U);  // ceil(n^(1/3))
  // rho = 0.8: (6 * 0.64 / 0.36^2)^(1/3) * 10 = 30.9 with the estimated rho near 0.8.
  EXPECT_NEAR(static_cast<double>(automatic_block_length(draw_ar1(1000, 0.8, 1))), 31.0, 5.0);
  EXPECT_EQ(automatic_block_length(draw_ar1(40, 0.99, 1)), 10U);  // never above n/4
  EXPECT_EQ(automatic_block_length(std::vector<double>(5, 1.0)), 1U);
}

TEST(Bootstrap, DrawsWholeBlocksOfTheSeries) {
  std::vector<double> series(50);
  std::iota(series.begin(), series.end(), 0.0);
  const BlockResampler resampler(series, 7);
  Random random(9);
  std::vector<double> drawn;
  resampler.draw(random, drawn);
  ASSERT_EQ(drawn.size(), 50U);
  for (std::size_t i = 0; i < drawn.size(); ++i) {
    if (i % 7 != 0) {
      EXPECT_DOUBLE_EQ(drawn[i], drawn[i - 1] + 1.0) << i;
    }
  }
  Random again(9);
  EXPECT_DOUBLE_EQ(resampler.draw_total(again), std::accumulate(drawn.begin(), drawn.end(), 0.0));
}

TEST(Bootstrap, SeesTheVarianceThatCorrelationAdds) {
  // The mean of n steps of an AR(1) series has standard deviation sigma/sqrt(n) * sqrt((1+rho)/(1-rho)).
  const double rho = 0.6;
  const std::size_t n = 800;
  const double truth = 0.1 / std::sqrt(static_cast<double>(n)) * std::sqrt((1 + rho) / (1 - rho));
  double sum = 0.0;
  const int series = 40;
  for (int s = 0; s < series; ++s) {
    const BlockResampler resampler(draw_ar1(n, rho, 100 + static_cast<std::uint64_t>(s)));
    Random random(5);
    std::vector<double> means;
    for (int i = 0; i < 400; ++i)
      means.push_back(resampler.draw_total(random) / static_cast<double>(n));
    sum += stdev(means);
  }
  EXPECT_NEAR(sum / series, truth, 0.15 * truth);  // independent steps would give half of it
}

TEST(Bootstrap, IntervalIsReproducibleAndHoldsTheStatistic) {
  const std::vector<std::vector<double>> launches{draw_ar1(300, 0.3, 1), {}, draw_ar1(300, 0.3, 2)};
  const auto median_of = [](std::span<const double> values) { return quantile(values, 0.5); };
  const Interval one = bootstrap_interval(launches, median_of, 0.95, 300, 11);
  const Interval two = bootstrap_interval(launches, median_of, 0.95, 300, 11);
  EXPECT_DOUBLE_EQ(one.low, two.low);
  EXPECT_DOUBLE_EQ(one.high, two.high);
  EXPECT_LT(one.low, one.high);
  EXPECT_NEAR(one.low, 1.0, 0.05);
  EXPECT_NEAR(one.high, 1.0, 0.05);
  const Interval other = bootstrap_interval(launches, median_of, 0.95, 300, 12);
  EXPECT_NE(one.low, other.low);
}

}  // namespace
}  // namespace lockstep::stats
