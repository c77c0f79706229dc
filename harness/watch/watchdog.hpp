#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

namespace lockstep::watch {

/// Exit codes of a rank that ends itself because something did not end.
enum class RankExit : int {
  deadline = 40,         ///< a phase or a communication passed its deadline
  transport_error = 41,  ///< the transport reported an error
  checkpoint = 42,       ///< a checkpoint could not be saved
  device = 43,           ///< the GPU, or what computes in its place, failed
};

/// A phase that took longer than it may.
struct Expiry {
  std::string phase;
  double allowed_s = 0.0;
  double waited_s = 0.0;
  /// Longest time between two looks: more than a moment when this process itself was stopped or got no core.
  double stood_still_s = 0.0;
};

/// One thread that sees to it that no phase of this process lasts for ever. It needs neither MPI nor any
/// other thread of the process to move, so it works while all of them are stuck.
///
/// Sharp edge: `on_expiry` runs on the watchdog's thread while the others may hold any lock; it records what
/// it can and ends the process with _exit. It is called once.
class Watchdog {
 public:
  using Clock = std::function<std::int64_t()>;

  /// Looks every `look_every_s`. `clock` (ns, monotonic) is replaced in tests.
  explicit Watchdog(std::function<void(const Expiry&)> on_expiry, double look_every_s = 0.1,
                    Clock clock = {});
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

  /// The process is now in `phase` and has `deadline_s` for it. Takes a lock: not for use inside a step.
  void enter(const std::string& phase, double deadline_s);
  /// The phase has made progress and has `deadline_s` from now on. Two stores.
  void extend(double deadline_s) noexcept;
  /// Nothing is expected any more.
  void disarm() noexcept;

 private:
  void watch();

  std::function<void(const Expiry&)> on_expiry_;
  Clock clock_;
  double look_every_s_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::string phase_;
  bool stop_ = false;
  std::atomic<std::int64_t> since_ns_{0};
  std::atomic<std::int64_t> deadline_ns_{0};  // 0: disarmed
  std::thread thread_;
};

}  // namespace lockstep::watch
