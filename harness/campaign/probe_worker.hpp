#pragma once

#include <cstdint>
#include <string>

namespace lockstep::campaign {

/// One host's part in a survey, from beginning to end: says what the host is, answers the other hosts'
/// measurements and makes its own when it is told to. No MPI. Ends when the survey does, when whoever
/// launched it is gone, or after the survey's lifetime. Throws RunError when the folder cannot be seen or
/// written to from here.
void run_probe(const std::string& folder, std::uint32_t index);

}  // namespace lockstep::campaign
