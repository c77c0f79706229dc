#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "harness/stats/random.hpp"

namespace lockstep::stats {

/// Correlation of a series with itself one step later; 0 below three samples or for a constant series.
[[nodiscard]] double lag1_autocorrelation(std::span<const double> series);

/// Length of the blocks for a moving-block bootstrap of a mean: (6 rho^2 / (1 - rho^2)^2)^(1/3) * n^(1/3),
/// which is the rule of Politis and White (Econometric Reviews 23, 2004) with a first-order autoregression of
/// lag-1 correlation rho put in for the series' spectrum. Never below n^(1/3), because outliers hide a slow
/// correlation from the lag-1 estimate; never above n/4, so that at least four blocks are drawn. 1 for fewer
/// than 8 samples.
[[nodiscard]] std::size_t automatic_block_length(std::span<const double> series);

/// Draws series of the same length from one series, block by block with replacement (Kuensch, Annals of
/// Statistics 17, 1989), so that the order within a block, and with it the correlation, is kept.
/// Keeps no reference to the series it was made from.
class BlockResampler {
 public:
  /// `series` must not be empty; `block_length` 0 takes the automatic one.
  explicit BlockResampler(std::span<const double> series, std::size_t block_length = 0);

  [[nodiscard]] std::size_t block_length() const { return block_length_; }
  [[nodiscard]] std::size_t size() const { return series_.size(); }
  [[nodiscard]] double total() const { return sums_.back(); }

  /// Sum of one resampled series, at the price of one look-up a block.
  [[nodiscard]] double draw_total(Random& random) const;
  /// Appends one resampled series to `out`.
  void draw(Random& random, std::vector<double>& out) const;

 private:
  std::vector<double> series_;
  std::vector<double> sums_;  // of the first i samples
  std::size_t block_length_ = 1;
};

/// Two-sided interval.
struct Interval {
  double low = 0.0;
  double high = 0.0;
};

/// Percentile interval of `statistic` over several independent series (launches), each resampled in moving
/// blocks; the statistic sees them concatenated. Deterministic for a seed. It covers the variation within the
/// launches only.
[[nodiscard]] Interval bootstrap_interval(std::span<const std::vector<double>> launches,
                                          const std::function<double(std::span<const double>)>& statistic,
                                          double confidence, std::size_t replicates, std::uint64_t seed);

}  // namespace lockstep::stats
