#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include "harness/watch/launch_view.hpp"

namespace lockstep::watch {

/// A time in which a device was seen to be throttled, on the clock of its host.
struct ThrottleSpan {
  std::int64_t begin_ns = 0;
  std::int64_t end_ns = 0;
  std::int64_t bits = 0;  ///< real reasons only, see throttle_bits.hpp
};

/// When the devices of a launch were throttled for a real reason: heat, a power brake, a slowdown in
/// hardware. A row of health speaks for the time since the row before, so a span is as exact as the rows are
/// close. Also the counter of time throttled for heat tells, when no reading fell into such a time.
///
/// The view must outlive it.
class Throttles {
 public:
  explicit Throttles(const LaunchView& view);
  [[nodiscard]] bool empty() const { return by_device_.empty(); }
  /// Reasons that what the rank computes on showed in that time of its clock; 0: none that was seen.
  [[nodiscard]] std::int64_t bits(std::uint32_t rank, std::int64_t begin_ns, std::int64_t end_ns) const;
  /// The same for a step that the rank completed.
  [[nodiscard]] std::int64_t bits(const record::StepRow& step) const {
    return bits(step.rank, step.begin_ns, step.end_ns);
  }

 private:
  std::map<const record::DeviceRow*, std::vector<ThrottleSpan>> by_device_;  ///< those that were throttled
  std::vector<const record::DeviceRow*> device_of_;                          ///< by rank
};

/// Spans of one device, from its rows in order of time.
[[nodiscard]] std::vector<ThrottleSpan> throttle_spans(std::span<const record::HealthRow* const> rows);

}  // namespace lockstep::watch
