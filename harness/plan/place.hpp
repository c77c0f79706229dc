#pragma once

#include <string>

#include "harness/core/error.hpp"

namespace lockstep::plan {

/// Where something was written, for messages.
struct Place {
  std::string file;
  int line = 0;  ///< 1-based; 0 when there is none
};

/// A problem at a place.
[[nodiscard]] Problem problem_at(const Place& place, std::string what, std::string why,
                                 std::string suggestion = {});

}  // namespace lockstep::plan
