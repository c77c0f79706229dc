#pragma once

#include <cstddef>
#include <optional>
#include <span>

#include "harness/stats/bootstrap.hpp"

namespace lockstep::stats {

struct Point {
  double at = 0.0;
  double value = 0.0;
};

/// A straight line through a series: value(x) = centre_value + slope * (x - centre_at).
struct Trend {
  double slope = 0.0;
  Interval slope_interval;
  double centre_at = 0.0;     ///< median
  double centre_value = 0.0;  ///< median
  double begin = 0.0;         ///< first `at`
  double end = 0.0;           ///< last `at`
  std::size_t points = 0;     ///< that the slope was taken from

  [[nodiscard]] double value(double at, double with_slope) const {
    return centre_value + with_slope * (at - centre_at);
  }
  [[nodiscard]] double value(double at) const { return value(at, slope); }
};

/// Fewest points from which a trend is told at all.
constexpr std::size_t kLeastPointsForTrend = 16;

/// Robust trend: the median of the slopes between all pairs of points, with an interval from the variance of
/// Kendall's tau (Sen, Journal of the American Statistical Association 63, 1968). A long series is cut into
/// 64 blocks whose medians stand for them: outliers and a correlation between neighbours then count little.
/// `series` is in order of `at`. nullopt below kLeastPointsForTrend points, and when they are too few for
/// that confidence.
[[nodiscard]] std::optional<Trend> robust_trend(std::span<const Point> series, double confidence);

}  // namespace lockstep::stats
