#include "harness/compute/device_clock.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "harness/core/error.hpp"
#include "harness/core/units.hpp"

namespace lockstep::compute {
namespace {

/// A reading this much wider than the narrowest one tells nothing more.
constexpr double kWidest = 4.0;

double half_width_ns(const DeviceClock::Reading& reading) {
  return 0.5 * static_cast<double>(reading.host_after_ns - reading.host_before_ns);
}

}  // namespace

void DeviceClock::add(const Reading& reading) {
  if (reading.host_after_ns < reading.host_before_ns)
    return;
  if (!kept_.empty() &&
      (reading.device_s < kept_.back().device_s || reading.host_after_ns < kept_.back().host_before_ns))
    return;
  kept_.push_back(reading);
  if (kept_.size() > kKept)
    kept_.pop_front();
  fit();
}

void DeviceClock::fit() {
  base_ns_ = kept_.front().host_before_ns;
  double narrowest = half_width_ns(kept_.front());
  for (const Reading& reading : kept_)
    narrowest = std::min(narrowest, half_width_ns(reading));
  // 1 us more, so that a host that is quick once does not throw all other readings out.
  const double widest = kWidest * narrowest + 1e3;
  struct Point {
    double device_s = 0.0;
    double host_ns = 0.0;
    double half_width_ns = 0.0;
    double weight = 0.0;
  };
  std::vector<Point> points;
  double weights = 0.0;
  double device_s = 0.0;
  double host_ns = 0.0;
  for (const Reading& reading : kept_) {
    const double half = half_width_ns(reading);
    if (half > widest)
      continue;
    const double weight = 1.0 / ((half + 100.0) * (half + 100.0));  // 0.1 us: no reading is perfect
    const double middle = static_cast<double>(reading.host_before_ns - base_ns_) + half;
    points.push_back({reading.device_s, middle, half, weight});
    weights += weight;
    device_s += weight * reading.device_s;
    host_ns += weight * middle;
  }
  LOCKSTEP_ENSURE(!points.empty(), "the narrowest reading is always kept");
  origin_device_s_ = device_s / weights;
  origin_host_ns_ = host_ns / weights;
  first_device_s_ = points.front().device_s;
  last_device_s_ = points.back().device_s;
  double spread = 0.0;
  double product = 0.0;
  for (const Point& point : points) {
    const double d = point.device_s - origin_device_s_;
    spread += point.weight * d * d;
    product += point.weight * d * (point.host_ns - origin_host_ns_ - d * kNsPerS);
  }
  rate_ = 1.0;
  rate_error_ = kUnknownRate;
  const double span_s = last_device_s_ - first_device_s_;
  const double end_widths_ns = points.front().half_width_ns + points.back().half_width_ns;
  // Two windows at a distance allow slopes that differ by the sum of their widths over it.
  const double told_by_windows = span_s > 0.0 ? end_widths_ns / (span_s * kNsPerS) : kUnknownRate;
  if (spread > 0.0 && told_by_windows < kUnknownRate) {
    rate_ = 1.0 + product / spread / kNsPerS;
    rate_error_ = told_by_windows;
  }
  error_ns_ = 0.0;
  for (const Point& point : points) {
    const double line = origin_host_ns_ + (point.device_s - origin_device_s_) * rate_ * kNsPerS;
    error_ns_ = std::max(error_ns_, std::abs(point.host_ns - line) + point.half_width_ns);
  }
}

std::int64_t DeviceClock::host_ns(double device_s) const {
  LOCKSTEP_EXPECT(!kept_.empty(), "no reading yet");
  return base_ns_ + std::llround(origin_host_ns_ + (device_s - origin_device_s_) * rate_ * kNsPerS);
}

std::int64_t DeviceClock::error_ns(double device_s) const {
  LOCKSTEP_EXPECT(!kept_.empty(), "no reading yet");
  const double outside_s = std::max({0.0, device_s - last_device_s_, first_device_s_ - device_s});
  return std::llround(std::ceil(error_ns_ + outside_s * rate_error_ * kNsPerS));
}

}  // namespace lockstep::compute
