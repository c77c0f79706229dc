#pragma once

namespace lockstep {

/// Environment variable that holds a lab's name in everything that runs on its hosts: evidence from there
/// says so, and its hosts share one machine's cores.
constexpr const char* kLabVariable = "LOCKSTEP_LAB";

}  // namespace lockstep
