#pragma once

#include <string>
#include <vector>

#include <sys/types.h>

namespace lockstep::campaign {

/// What the guard needs, prepared before the fork so that nothing is looked up afterwards.
struct GuardOrder {
  std::vector<std::string> argv;
  std::vector<std::string> environment;  ///< NAME=value, complete
  int log_fd = -1;
  int report_fd = -1;      ///< receives one ProcessEnd
  int exec_error_fd = -1;  ///< receives errno when the program cannot be executed; closed by exec otherwise
  double grace_s = 0.0;
  pid_t controller = 0;
};

/// The guard's whole life, called in the forked child. See GuardedProcess.
[[noreturn]] void run_guard(const GuardOrder& order);

/// Sends SIGKILL to every descendant of this process until none is left or `patience_s` has passed, and reaps
/// what it can. Returns how many are left.
int kill_descendants(double patience_s);

}  // namespace lockstep::campaign
