#include "harness/stats/bootstrap.hpp"

#include <algorithm>
#include <cmath>

#include "harness/core/error.hpp"
#include "harness/stats/quantile.hpp"

namespace lockstep::stats {

double lag1_autocorrelation(std::span<const double> series) {
  if (series.size() < 3)
    return 0.0;
  const double centre = mean(series);
  double together = 0.0;
  double alone = 0.0;
  for (std::size_t i = 0; i < series.size(); ++i) {
    const double deviation = series[i] - centre;
    alone += deviation * deviation;
    if (i > 0)
      together += deviation * (series[i - 1] - centre);
  }
  return alone > 0.0 ? together / alone : 0.0;
}

std::size_t automatic_block_length(std::span<const double> series) {
  const std::size_t n = series.size();
  if (n < 8)
    return 1;
  const double rho = std::min(std::fabs(lag1_autocorrelation(series)), 0.99);
  const double spectrum = std::cbrt(6.0 * rho * rho / ((1.0 - rho * rho) * (1.0 - rho * rho)));
  const double length = std::ceil(std::max(1.0, spectrum) * std::cbrt(static_cast<double>(n)));
  return std::min(static_cast<std::size_t>(length), n / 4);
}

BlockResampler::BlockResampler(std::span<const double> series, std::size_t block_length)
    : series_(series.begin(), series.end()) {
  LOCKSTEP_EXPECT(!series.empty(), "resampling needs a sample");
  block_length_ = block_length == 0 ? automatic_block_length(series) : std::min(block_length, series.size());
  sums_.reserve(series.size() + 1);
  sums_.push_back(0.0);
  for (const double sample : series)
    sums_.push_back(sums_.back() + sample);
}

double BlockResampler::draw_total(Random& random) const {
  double total = 0.0;
  for (std::size_t drawn = 0; drawn < series_.size();) {
    const std::size_t begin = random.index(series_.size() - block_length_ + 1);
    const std::size_t length = std::min(block_length_, series_.size() - drawn);
    total += sums_[begin + length] - sums_[begin];
    drawn += length;
  }
  return total;
}

void BlockResampler::draw(Random& random, std::vector<double>& out) const {
  for (std::size_t drawn = 0; drawn < series_.size();) {
    const std::size_t begin = random.index(series_.size() - block_length_ + 1);
    const std::size_t length = std::min(block_length_, series_.size() - drawn);
    out.insert(out.end(), series_.begin() + static_cast<std::ptrdiff_t>(begin),
               series_.begin() + static_cast<std::ptrdiff_t>(begin + length));
    drawn += length;
  }
}

Interval bootstrap_interval(std::span<const std::vector<double>> launches,
                            const std::function<double(std::span<const double>)>& statistic,
                            double confidence, std::size_t replicates, std::uint64_t seed) {
  LOCKSTEP_EXPECT(replicates >= 2, "a bootstrap needs replicates");
  std::vector<BlockResampler> resamplers;
  for (const std::vector<double>& launch : launches)
    if (!launch.empty())
      resamplers.emplace_back(launch);
  LOCKSTEP_EXPECT(!resamplers.empty(), "a bootstrap needs samples");
  Random random(seed);
  std::vector<double> values;
  values.reserve(replicates);
  std::vector<double> drawn;
  for (std::size_t i = 0; i < replicates; ++i) {
    drawn.clear();
    for (const BlockResampler& resampler : resamplers)
      resampler.draw(random, drawn);
    values.push_back(statistic(drawn));
  }
  std::sort(values.begin(), values.end());
  const double outside = 0.5 * (1.0 - confidence);
  return {quantile_of_sorted(values, outside), quantile_of_sorted(values, 1.0 - outside)};
}

}  // namespace lockstep::stats
