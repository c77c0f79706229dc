#pragma once

#include <csignal>
#include <optional>

#include "harness/core/posix.hpp"

namespace lockstep::campaign {

/// Turns SIGINT, SIGTERM and SIGHUP into something to be read: while one of these lives the signals are
/// blocked, so that none of them can interrupt the writing of evidence, however often Ctrl-C is pressed. No
/// handler runs.
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
  /// Reads what came. From the first signal on it stays true.
  [[nodiscard]] bool stop_requested();
  /// The first signal that came.
  [[nodiscard]] std::optional<int> signal() const { return first_; }

 private:
  sigset_t previous_{};
  UniqueFd fd_;
  std::optional<int> first_;
};

}  // namespace lockstep::campaign
