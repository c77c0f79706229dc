#include "harness/watch/throttles.hpp"

#include <algorithm>

#include "harness/watch/throttle_bits.hpp"

namespace lockstep::watch {

std::vector<ThrottleSpan> throttle_spans(std::span<const record::HealthRow* const> rows) {
  std::vector<ThrottleSpan> spans;
  std::int64_t heat_ns = -1;
  for (const record::HealthRow* row : rows) {
    std::int64_t bits = row->throttle > 0 ? row->throttle & kRealThrottle : 0;
    constexpr std::int64_t kHeat = kThrottleHeatHardware | kThrottleHeatSoftware;
    const bool heat_counted = heat_ns >= 0 && row->thermal_ns > heat_ns;
    // The counter does not tell which of the two it was.
    if (heat_counted && (bits & kHeat) == 0)
      bits |= kThrottleHeatSoftware;
    if (row->thermal_ns >= 0)
      heat_ns = row->thermal_ns;
    if (bits != 0)
      spans.push_back({row->begin_ns, row->end_ns, bits});
  }
  return spans;
}

Throttles::Throttles(const LaunchView& view) {
  for (const record::DeviceRow* device : view.devices) {
    std::vector<ThrottleSpan> spans = throttle_spans(view.health_of(*device));
    if (!spans.empty())
      by_device_.emplace(device, std::move(spans));
  }
  if (by_device_.empty())
    return;
  for (std::uint32_t rank = 0; rank < view.rank_count(); ++rank)
    device_of_.push_back(view.device_of(rank));
}

std::int64_t Throttles::bits(std::uint32_t rank, std::int64_t begin_ns, std::int64_t end_ns) const {
  if (rank >= device_of_.size())
    return 0;
  const auto spans = by_device_.find(device_of_[rank]);
  if (spans == by_device_.end())
    return 0;
  // Rows follow each other, so their ends are in order.
  auto span = std::lower_bound(spans->second.begin(), spans->second.end(), begin_ns,
                               [](const ThrottleSpan& entry, std::int64_t at) { return entry.end_ns < at; });
  std::int64_t found = 0;
  for (; span != spans->second.end() && span->begin_ns < end_ns; ++span)
    found |= span->bits;
  return found;
}

}  // namespace lockstep::watch
