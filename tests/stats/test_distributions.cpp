#include <cmath>

#include <gtest/gtest.h>

#include "harness/stats/distributions.hpp"
#include "harness/stats/failure_rate.hpp"

namespace lockstep::stats {
namespace {

TEST(Distributions, NormalQuantile) {
  EXPECT_NEAR(normal_quantile(0.975), 1.959963984540054, 1e-10);
  EXPECT_NEAR(normal_quantile(0.5), 0.0, 1e-12);
  EXPECT_NEAR(normal_quantile(0.001), -3.090232306167813, 1e-10);
}

TEST(Distributions, StudentTQuantile) {
  EXPECT_NEAR(student_t_quantile(0.975, 1.0), 12.706204736432, 1e-8);  // tan(0.475 pi)
  EXPECT_NEAR(student_t_quantile(0.975, 2.0), 4.302652729911, 1e-9);
  EXPECT_NEAR(student_t_quantile(0.975, 10.0), 2.228138851965, 1e-9);
  EXPECT_NEAR(student_t_quantile(0.95, 30.0), 1.697260886594, 1e-9);
  EXPECT_NEAR(student_t_quantile(0.025, 10.0), -2.228138851965, 1e-9);
  EXPECT_NEAR(student_t_quantile(0.975, 1e6), 1.959964, 1e-5);
  // Degrees need not be whole, and the quantile falls as they grow.
  EXPECT_LT(student_t_quantile(0.975, 2.5), student_t_quantile(0.975, 2.0));
  EXPECT_GT(student_t_quantile(0.975, 2.5), student_t_quantile(0.975, 3.0));
}

TEST(Distributions, PoissonCdf) {
  EXPECT_NEAR(poisson_cdf(0, 2.0), std::exp(-2.0), 1e-15);
  EXPECT_NEAR(poisson_cdf(3, 2.0), 0.857123460498547, 1e-12);
  EXPECT_DOUBLE_EQ(poisson_cdf(2, 0.0), 1.0);
}

TEST(Distributions, FailureRateUpperBound) {
  EXPECT_NEAR(failure_rate_upper_bound(0, 1.0), 2.995732, 1e-5);
  EXPECT_NEAR(failure_rate_upper_bound(1, 1.0), 4.743865, 1e-5);
  EXPECT_NEAR(failure_rate_upper_bound(2, 1.0), 6.295794, 1e-5);
  EXPECT_NEAR(failure_rate_upper_bound(3, 1.0), 7.753657, 1e-5);
  // A clean 72 h on 128 nodes: 7.8 per 1000 node-days.
  EXPECT_NEAR(1000.0 * failure_rate_upper_bound(0, 3.0 * 128.0), 7.80, 0.005);
  EXPECT_NEAR(failure_rate_upper_bound(0, 1.0, 0.99), 4.605170, 1e-5);
}

}  // namespace
}  // namespace lockstep::stats
