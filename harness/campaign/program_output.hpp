#pragma once

#include <string>
#include <vector>

#include "harness/campaign/launcher.hpp"

namespace lockstep::campaign {

struct ProgramOutput {
  std::string text;   ///< standard output and error
  std::string error;  ///< not empty: it could not be executed, or did not end in time and was killed
};

/// Runs a short program and takes what it prints, at most 1 MiB. May be called beside other threads.
[[nodiscard]] ProgramOutput output_of(const Command& command, double deadline_s);

}  // namespace lockstep::campaign
