#pragma once

#include <string>
#include <utility>
#include <vector>

#include "harness/core/posix.hpp"

namespace lockstep::lab {

/// What was done to a lab, and when: the truth that tests and drills compare with. One JSON object a line,
/// with the time after the change took effect on both clocks.
class EventLog {
 public:
  EventLog() = default;
  /// Throws RunError.
  explicit EventLog(const std::string& path);

  using Fields = std::vector<std::pair<std::string, std::string>>;
  /// Appends `{"utc":…,"monotonic_ns":…,"event":event, fields…}`. What cannot be written is told on standard
  /// error: the lab goes on.
  void write(const std::string& event, const Fields& fields) const;

 private:
  UniqueFd file_;
};

}  // namespace lockstep::lab
