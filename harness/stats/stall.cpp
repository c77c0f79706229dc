#include "harness/stats/stall.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "harness/stats/quantile.hpp"

namespace lockstep::stats {

double median(std::span<const double> samples) {
  return samples.empty() ? 0.0 : quantile(samples, 0.5);
}

double median_absolute_deviation(std::span<const double> samples) {
  const double centre = median(samples);
  std::vector<double> deviations;
  deviations.reserve(samples.size());
  for (const double sample : samples)
    deviations.push_back(std::fabs(sample - centre));
  return median(deviations);
}

StallThreshold StallRule::threshold(std::span<const double> steady_s) const {
  StallThreshold threshold;
  threshold.median = median(steady_s);
  const double spread = kMadToStdev * median_absolute_deviation(steady_s);
  threshold.limit = threshold.median +
                    std::max({mad_multiple * spread, threshold.median * relative_floor, absolute_floor_s});
  return threshold;
}

}  // namespace lockstep::stats
