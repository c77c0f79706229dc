#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

namespace lockstep {

namespace detail {
__extension__ using Int128 = __int128;
}

/// CLOCK_MONOTONIC in ns: shared by all processes of one machine, unrelated between machines.
[[nodiscard]] std::int64_t monotonic_ns() noexcept;

/// CLOCK_REALTIME in ns since 1970-01-01 UTC.
[[nodiscard]] std::int64_t utc_ns() noexcept;

/// `2026-01-31T12:34:56Z`, or `20260131T123456Z` when `compact`.
enum class UtcStyle { iso, compact };
[[nodiscard]] std::string format_utc(std::int64_t utc_ns, UtcStyle style = UtcStyle::iso);

/// Sleeps until monotonic_ns() >= `deadline_ns`. Returns at once when that is past.
void sleep_until_ns(std::int64_t deadline_ns) noexcept;

/// CLOCK_MONOTONIC at the price of a time-stamp-counter read (about 14 ns instead of 33 ns where a system
/// call page read is slow). Where the counter is not invariant, or the kernel itself does not trust it, it
/// is CLOCK_MONOTONIC itself.
///
/// Sharp edge: between two calls of discipline() the clock extrapolates with the last measured rate, so call
/// it every few seconds at most. discipline() may be called while other threads read, by one thread at a
/// time.
class FastClock {
 public:
  /// Measures the counter's rate for about 20 ms. One object serves the whole process.
  FastClock();
  FastClock(const FastClock&) = delete;
  FastClock& operator=(const FastClock&) = delete;

  /// ns on the axis of CLOCK_MONOTONIC.
  [[nodiscard]] std::int64_t now_ns() const noexcept {
#if defined(__x86_64__)
    const Anchor* anchor = anchor_.load(std::memory_order_acquire);
    if (anchor != nullptr) {
      const auto ticks = static_cast<std::int64_t>(__rdtsc()) - anchor->ticks;
      return anchor->ns +
             static_cast<std::int64_t>((static_cast<detail::Int128>(ticks) * anchor->rate) >> kShift);
    }
#endif
    return monotonic_ns();
  }

  /// Ties the clock to CLOCK_MONOTONIC anew and refines the rate over the whole time since construction.
  void discipline() noexcept;

  /// "tsc" or "clock_gettime".
  [[nodiscard]] const char* source() const noexcept;

 private:
  // ns per tick is rate / 2^kShift: 2^40 keeps the rounding below 1e-12.
  static constexpr int kShift = 40;
  struct Anchor {
    std::int64_t ticks = 0;
    std::int64_t ns = 0;
    std::int64_t rate = 0;
  };
  static constexpr int kAnchors = 64;  // a reader may hold an old anchor for this many calls of discipline()

  void take_anchor() noexcept;

  std::int64_t first_ticks_ = 0;
  std::int64_t first_ns_ = 0;
  Anchor anchors_[kAnchors];
  int next_ = 0;
  std::atomic<const Anchor*> anchor_{nullptr};
};

}  // namespace lockstep
