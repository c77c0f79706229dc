#pragma once

#include <csignal>

#include "harness/core/posix.hpp"

namespace lockstep::campaign {

/// How soon the run is to end; a later one outweighs an earlier one.
enum class StopWish {
  none,
  soon,      ///< at the next step; there is a minute or so (SIGUSR1: a time limit draws near)
  promptly,  ///< at the next step; it will be enforced in seconds (SIGTERM)
  at_once,   ///< without waiting for a step (SIGINT, SIGHUP, or a second SIGTERM)
};

/// Turns SIGUSR1, SIGTERM, SIGINT and SIGHUP into something to be read: while one of these lives the signals
/// are blocked, so that none of them can interrupt the writing of evidence, however often Ctrl-C is pressed.
/// No handler runs.
///
/// SIGHUP is left alone where it was ignored already (nohup): such a run is meant to outlive its terminal.
///
/// Make it before any thread is started and before the first child process. Signals that came are used up
/// when it dies.
class StopSignals {
 public:
  /// Throws RunError when the kernel refuses.
  StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;
  ~StopSignals();

  /// Becomes readable when a signal has come.
  [[nodiscard]] int fd() const { return fd_.get(); }
  /// Reads what came. It never falls back.
  [[nodiscard]] StopWish wish();
  [[nodiscard]] bool stop_requested() { return wish() != StopWish::none; }

 private:
  sigset_t previous_{};
  UniqueFd fd_;
  StopWish wish_ = StopWish::none;
};

}  // namespace lockstep::campaign
