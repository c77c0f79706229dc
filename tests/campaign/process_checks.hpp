#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include <unistd.h>

#include "harness/campaign/process_tree.hpp"
#include "harness/core/clock.hpp"

namespace lockstep::campaign {

/// Asks until `condition` holds; false when it does not within `limit_s`. What decides is the condition, not
/// the time.
inline bool eventually(const std::function<bool()>& condition, double limit_s = 20.0) {
  const std::int64_t give_up_ns = monotonic_ns() + static_cast<std::int64_t>(limit_s * 1e9);
  while (!condition()) {
    if (monotonic_ns() > give_up_ns)
      return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

inline bool no_process_left() {
  return descendants_of(::getpid()).empty();
}

}  // namespace lockstep::campaign
