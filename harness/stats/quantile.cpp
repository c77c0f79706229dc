#include "harness/stats/quantile.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "harness/core/error.hpp"

namespace lockstep::stats {

double quantile_of_sorted(std::span<const double> sorted, double p) {
  LOCKSTEP_EXPECT(!sorted.empty(), "a quantile needs a sample");
  LOCKSTEP_EXPECT(p >= 0.0 && p <= 1.0, "a quantile lies between 0 and 1");
  const double position = p * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(position);
  if (below + 1 >= sorted.size())
    return sorted.back();
  const double part = position - static_cast<double>(below);
  return sorted[below] + part * (sorted[below + 1] - sorted[below]);
}

double quantile(std::span<const double> samples, double p) {
  std::vector<double> sorted(samples.begin(), samples.end());
  std::sort(sorted.begin(), sorted.end());
  return quantile_of_sorted(sorted, p);
}

double mean(std::span<const double> samples) {
  LOCKSTEP_EXPECT(!samples.empty(), "a mean needs a sample");
  return std::accumulate(samples.begin(), samples.end(), 0.0) / static_cast<double>(samples.size());
}

double stdev(std::span<const double> samples) {
  if (samples.size() < 2)
    return 0.0;
  const double centre = mean(samples);
  double squares = 0.0;
  for (const double sample : samples)
    squares += (sample - centre) * (sample - centre);
  return std::sqrt(squares / static_cast<double>(samples.size() - 1));
}

Summary summarize(std::span<const double> samples) {
  Summary summary;
  summary.count = samples.size();
  if (samples.empty())
    return summary;
  std::vector<double> sorted(samples.begin(), samples.end());
  std::sort(sorted.begin(), sorted.end());
  summary.min = sorted.front();
  summary.max = sorted.back();
  summary.mean = mean(samples);
  summary.stdev = stdev(samples);
  summary.p50 = quantile_of_sorted(sorted, 0.50);
  if (sorted.size() >= kLeastSamplesForP95)
    summary.p95 = quantile_of_sorted(sorted, 0.95);
  if (sorted.size() >= kLeastSamplesForP99)
    summary.p99 = quantile_of_sorted(sorted, 0.99);
  return summary;
}

}  // namespace lockstep::stats
