#include "harness/record/common_clock.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace lockstep::record {

CommonClock::CommonClock(std::vector<ClockRow> rows) : rows_(std::move(rows)) {
  std::sort(rows_.begin(), rows_.end(),
            [](const ClockRow& a, const ClockRow& b) { return a.local_ns < b.local_ns; });
}

std::int64_t CommonClock::to_common_ns(std::int64_t local_ns) const {
  if (rows_.empty())
    return local_ns;
  const auto after =
      std::upper_bound(rows_.begin(), rows_.end(), local_ns,
                       [](std::int64_t time, const ClockRow& row) { return time < row.local_ns; });
  if (after == rows_.begin())
    return local_ns + rows_.front().offset_ns;
  const ClockRow& from = *(after - 1);
  if (after == rows_.end())
    return local_ns + from.offset_ns;
  // Only differences become floating point: an offset itself may have more digits than a double holds.
  const double part =
      static_cast<double>(local_ns - from.local_ns) / static_cast<double>(after->local_ns - from.local_ns);
  const double change = part * static_cast<double>(after->offset_ns - from.offset_ns);
  return local_ns + from.offset_ns + static_cast<std::int64_t>(std::llround(change));
}

std::int64_t CommonClock::bound_ns() const {
  std::int64_t bound = 0;
  for (const ClockRow& row : rows_)
    bound = std::max(bound, row.bound_ns);
  return bound;
}

}  // namespace lockstep::record
