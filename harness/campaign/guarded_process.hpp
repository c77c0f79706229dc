#pragma once

#include <optional>
#include <string>

#include <sys/types.h>

#include "harness/campaign/launcher.hpp"
#include "harness/core/posix.hpp"

namespace lockstep::campaign {

/// How a guarded program ended.
struct ProcessEnd {
  int exit_status = 0;  ///< as a shell gives it: the exit code, or 128 + the number of the signal
  int leftovers = 0;    ///< descendants that had outlived the program and were ended by the guard
  int unkillable = 0;   ///< descendants that were still there when the guard gave up
};

/// A program and all that it starts, in a session of its own under a guard process.
///
/// Between this process and the program stands a small fork of this process, the guard. It adopts every
/// orphan below it, and ends them all (SIGTERM to the program, `grace_s`, SIGKILL to whatever is left) when
/// it is told to, when the program has ended, or when this process has died, however it died. So nothing
/// survives: not a rank whose mpirun was killed, not a program that ignores SIGTERM, not one that moved to
/// another session.
///
/// mpirun needs up to 2 s to end its ranks by itself, remote ones included; a grace below that would only
/// orphan those.
class GuardedProcess {
 public:
  static constexpr double kDefaultGraceS = 3.0;

  /// Standard input is /dev/null; standard output and error go to `log_path`, which is made anew. Call it
  /// from a process with one thread. Throws RunError when the log cannot be made or the program cannot be
  /// executed.
  static GuardedProcess start(const Command& command, const std::string& log_path,
                              double grace_s = kDefaultGraceS);

  GuardedProcess(GuardedProcess&& other) noexcept;
  GuardedProcess& operator=(GuardedProcess&&) = delete;
  /// Stops what still runs.
  ~GuardedProcess();

  /// Becomes readable when the program and all its descendants have ended.
  [[nodiscard]] int end_fd() const { return report_.get(); }
  /// How it ended; nullopt while something still runs. Never waits.
  [[nodiscard]] std::optional<ProcessEnd> poll_end();
  /// Passes SIGUSR1 on to the program, which a launcher passes on to its ranks. Does not wait.
  void ask_to_stop();
  /// Ends everything and waits for it: about `grace_s` at most, plus what the kernel needs.
  ProcessEnd stop();
  /// The guard. Its descendants are the program's processes.
  [[nodiscard]] pid_t guard_pid() const { return guard_; }

 private:
  GuardedProcess(pid_t guard, UniqueFd report, double grace_s);
  ProcessEnd wait_for_end(double patience_s);
  void reap_guard() noexcept;

  pid_t guard_ = -1;
  UniqueFd report_;
  double grace_s_ = kDefaultGraceS;
  std::optional<ProcessEnd> end_;
};

}  // namespace lockstep::campaign
