#include "harness/watch/watchdog.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

#include <sys/prctl.h>

#include "harness/core/clock.hpp"
#include "harness/core/units.hpp"

namespace lockstep::watch {

Watchdog::Watchdog(std::function<void(const Expiry&)> on_expiry, double look_every_s, Clock clock)
    : on_expiry_(std::move(on_expiry)),
      clock_(clock ? std::move(clock) : Clock(&monotonic_ns)),
      look_every_s_(look_every_s),
      thread_([this] { watch(); }) {}

Watchdog::~Watchdog() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

void Watchdog::enter(const std::string& phase, double deadline_s) {
  const std::lock_guard lock(mutex_);
  phase_ = phase;
  extend(deadline_s);
}

void Watchdog::extend(double deadline_s) noexcept {
  const std::int64_t now_ns = clock_();
  since_ns_.store(now_ns, std::memory_order_relaxed);
  deadline_ns_.store(now_ns + static_cast<std::int64_t>(deadline_s * kNsPerS), std::memory_order_release);
}

void Watchdog::disarm() noexcept {
  deadline_ns_.store(0, std::memory_order_release);
}

void Watchdog::watch() {
  ::prctl(PR_SET_NAME, "watchdog");
  std::unique_lock lock(mutex_);
  std::int64_t looked_ns = clock_();
  std::int64_t gap_ns = 0;
  std::int64_t gap_since_ns = 0;  // the gap counts for the phase that it fell into
  while (!stop_) {
    wake_.wait_for(lock, std::chrono::duration<double>(look_every_s_));
    const std::int64_t deadline_ns = deadline_ns_.load(std::memory_order_acquire);
    const std::int64_t now_ns = clock_();
    const std::int64_t since_ns = since_ns_.load(std::memory_order_relaxed);
    if (since_ns != gap_since_ns)
      gap_ns = 0;
    gap_since_ns = since_ns;
    gap_ns = std::max(gap_ns, now_ns - std::max(looked_ns, since_ns));
    looked_ns = now_ns;
    if (stop_ || deadline_ns == 0 || now_ns < deadline_ns)
      continue;
    const Expiry expiry{phase_, seconds_from_ns(deadline_ns - since_ns), seconds_from_ns(now_ns - since_ns),
                        seconds_from_ns(gap_ns)};
    disarm();
    lock.unlock();
    on_expiry_(expiry);
    lock.lock();
  }
}

}  // namespace lockstep::watch
