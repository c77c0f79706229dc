#include "harness/stats/trend.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "harness/stats/distributions.hpp"
#include "harness/stats/stall.hpp"

namespace lockstep::stats {
namespace {

constexpr std::size_t kMostBlocks = 64;

Point middle(std::span<const Point> block) {
  std::vector<double> at;
  std::vector<double> values;
  for (const Point& point : block) {
    at.push_back(point.at);
    values.push_back(point.value);
  }
  return {median(at), median(values)};
}

/// At most kMostBlocks blocks of as equal length as can be.
std::vector<Point> block_medians(std::span<const Point> series) {
  const std::size_t blocks = std::min(series.size(), kMostBlocks);
  std::vector<Point> medians;
  medians.reserve(blocks);
  for (std::size_t i = 0; i < blocks; ++i) {
    const std::size_t begin = i * series.size() / blocks;
    const std::size_t end = (i + 1) * series.size() / blocks;
    medians.push_back(middle(series.subspan(begin, end - begin)));
  }
  return medians;
}

}  // namespace

std::optional<Trend> robust_trend(std::span<const Point> series, double confidence) {
  if (series.size() < kLeastPointsForTrend)
    return std::nullopt;
  const std::vector<Point> points = block_medians(series);
  std::vector<double> slopes;
  slopes.reserve(points.size() * (points.size() - 1) / 2);
  for (std::size_t i = 0; i < points.size(); ++i) {
    for (std::size_t j = i + 1; j < points.size(); ++j) {
      if (points[j].at > points[i].at)
        slopes.push_back((points[j].value - points[i].value) / (points[j].at - points[i].at));
    }
  }
  if (slopes.empty())
    return std::nullopt;
  std::sort(slopes.begin(), slopes.end());

  const auto n = static_cast<double>(points.size());
  const double deviation = std::sqrt(n * (n - 1.0) * (2.0 * n + 5.0) / 18.0);
  const double reach = normal_quantile(0.5 + confidence / 2.0) * deviation;
  const auto pairs = static_cast<double>(slopes.size());
  const auto low = static_cast<std::ptrdiff_t>(std::floor((pairs - reach) / 2.0)) - 1;  // counted from 0
  const auto high = static_cast<std::ptrdiff_t>(std::ceil((pairs + reach) / 2.0));
  if (low < 0 || high >= static_cast<std::ptrdiff_t>(slopes.size()))
    return std::nullopt;

  const Point centre = middle(points);
  Trend trend;
  trend.slope = median(slopes);
  trend.slope_interval = {slopes[static_cast<std::size_t>(low)], slopes[static_cast<std::size_t>(high)]};
  trend.centre_at = centre.at;
  trend.centre_value = centre.value;
  trend.begin = series.front().at;
  trend.end = series.back().at;
  trend.points = points.size();
  return trend;
}

}  // namespace lockstep::stats
