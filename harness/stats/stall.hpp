#pragma once

#include <span>

namespace lockstep::stats {

/// Turns a median absolute deviation into the standard deviation of a normal distribution.
constexpr double kMadToStdev = 1.4826;

/// 0 for an empty series.
[[nodiscard]] double median(std::span<const double> samples);
/// Median of |sample - median|, not scaled; 0 for an empty series.
[[nodiscard]] double median_absolute_deviation(std::span<const double> samples);

/// Where a run's steady state ends and a stall begins, in the unit of the series.
struct StallThreshold {
  double median = 0.0;
  double limit = 0.0;
  [[nodiscard]] bool is_stall(double time) const { return time > limit; }
};

/// A step of time t is a stall when t > median + mad_multiple * 1.4826 * MAD, and t > median * (1 +
/// relative_floor), and t > median + absolute_floor. Median and MAD do not see the stalls themselves as long
/// as fewer than half of the steps are stalls. The floors keep a very even series, whose MAD is next to
/// nothing, from calling ordinary steps stalls.
struct StallRule {
  double mad_multiple = 5.0;
  double relative_floor = 0.2;     ///< fraction of the median
  double absolute_floor_s = 1e-3;  ///< seconds

  /// `steady_s` are step times in seconds, warm-up left out.
  [[nodiscard]] StallThreshold threshold(std::span<const double> steady_s) const;
};

}  // namespace lockstep::stats
