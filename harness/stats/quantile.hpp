#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

namespace lockstep::stats {

/// Fewest samples for which a tail quantile is told at all: below, it would be the maximum under another
/// name.
constexpr std::size_t kLeastSamplesForP95 = 20;
constexpr std::size_t kLeastSamplesForP99 = 100;

/// Quantile of samples in ascending order, by linear interpolation between order statistics: position
/// p*(n-1), counted from 0 (type 7 of Hyndman and Fan, The American Statistician 50, 1996; what NumPy and R
/// do unless told otherwise). `sorted` must not be empty, 0 <= p <= 1.
[[nodiscard]] double quantile_of_sorted(std::span<const double> sorted, double p);

/// The same of samples in any order.
[[nodiscard]] double quantile(std::span<const double> samples, double p);

[[nodiscard]] double mean(std::span<const double> samples);
/// With n-1 in the denominator; 0 below two samples.
[[nodiscard]] double stdev(std::span<const double> samples);

/// What is told of a series. All values have the unit of the samples, and are 0 when there are none.
struct Summary {
  std::size_t count = 0;
  double min = 0.0;
  double max = 0.0;
  double mean = 0.0;
  double stdev = 0.0;
  double p50 = 0.0;
  std::optional<double> p95;  ///< from kLeastSamplesForP95 samples on
  std::optional<double> p99;  ///< from kLeastSamplesForP99 samples on
};
[[nodiscard]] Summary summarize(std::span<const double> samples);

}  // namespace lockstep::stats
