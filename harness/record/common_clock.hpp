#pragma once

#include <cstdint>
#include <vector>

#include "harness/record/evidence.hpp"

namespace lockstep::record {

/// Turns one rank's clock into the clock common to all ranks of a launch.
class CommonClock {
 public:
  CommonClock() = default;
  /// `rows` are those of one rank in one launch, in any order; none gives a clock that changes nothing.
  explicit CommonClock(std::vector<ClockRow> rows);

  /// Local time + offset, the offset interpolated linearly between the rows and held outside them.
  [[nodiscard]] std::int64_t to_common_ns(std::int64_t local_ns) const;
  /// Largest stated bound of the error; 0 without rows.
  [[nodiscard]] std::int64_t bound_ns() const;
  [[nodiscard]] std::size_t measurements() const { return rows_.size(); }

 private:
  std::vector<ClockRow> rows_;  // by local time
};

}  // namespace lockstep::record
