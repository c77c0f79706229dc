#include "harness/core/clock.hpp"

#include <ctime>
#include <fstream>
#include <string>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace lockstep {
namespace {

std::int64_t read_clock(clockid_t id) noexcept {
  timespec t{};
  clock_gettime(id, &t);
  return static_cast<std::int64_t>(t.tv_sec) * 1'000'000'000 + t.tv_nsec;
}

#if defined(__x86_64__)
bool kernel_trusts_tsc() {
  unsigned eax = 0;
  unsigned ebx = 0;
  unsigned ecx = 0;
  unsigned edx = 0;
  // CPUID 0x80000007, EDX bit 8: the counter runs at a constant rate in all power states.
  if (__get_cpuid(0x80000007U, &eax, &ebx, &ecx, &edx) == 0 || (edx & (1U << 8)) == 0)
    return false;
  std::ifstream file("/sys/devices/system/clocksource/clocksource0/current_clocksource");
  std::string source;
  file >> source;
  return source == "tsc";
}

struct Pair {
  std::int64_t ticks;
  std::int64_t ns;
};

/// A reading of both clocks at the same instant: the closest of several, since a preemption may fall between.
Pair read_pair() noexcept {
  Pair best{};
  std::int64_t best_width = INT64_MAX;
  for (int i = 0; i < 5; ++i) {
    const auto before = static_cast<std::int64_t>(__rdtsc());
    const std::int64_t ns = monotonic_ns();
    const auto after = static_cast<std::int64_t>(__rdtsc());
    if (after - before < best_width) {
      best_width = after - before;
      best = Pair{before + (after - before) / 2, ns};
    }
  }
  return best;
}
#endif

}  // namespace

std::int64_t monotonic_ns() noexcept {
  return read_clock(CLOCK_MONOTONIC);
}

std::int64_t utc_ns() noexcept {
  return read_clock(CLOCK_REALTIME);
}

std::string format_utc(std::int64_t utc_ns, UtcStyle style) {
  const std::time_t seconds = static_cast<std::time_t>(utc_ns / 1'000'000'000);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[32];
  const char* pattern = style == UtcStyle::iso ? "%Y-%m-%dT%H:%M:%SZ" : "%Y%m%dT%H%M%SZ";
  const std::size_t length = std::strftime(text, sizeof text, pattern, &parts);
  return std::string(text, length);
}

void sleep_until_ns(std::int64_t deadline_ns) noexcept {
  timespec until{};
  until.tv_sec = static_cast<std::time_t>(deadline_ns / 1'000'000'000);
  until.tv_nsec = static_cast<long>(deadline_ns % 1'000'000'000);
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr) != 0 &&
         monotonic_ns() < deadline_ns) {
  }
}

FastClock::FastClock() {
#if defined(__x86_64__)
  if (!kernel_trusts_tsc())
    return;
  const Pair first = read_pair();
  first_ticks_ = first.ticks;
  first_ns_ = first.ns;
  sleep_until_ns(first.ns + 20'000'000);
  take_anchor();
#endif
}

void FastClock::take_anchor() noexcept {
#if defined(__x86_64__)
  const Pair now = read_pair();
  const std::int64_t ticks = now.ticks - first_ticks_;
  if (ticks <= 0)
    return;
  Anchor& anchor = anchors_[next_];
  next_ = (next_ + 1) % kAnchors;
  anchor.ticks = now.ticks;
  anchor.ns = now.ns;
  anchor.rate =
      static_cast<std::int64_t>((static_cast<detail::Int128>(now.ns - first_ns_) << kShift) / ticks);
  anchor_.store(&anchor, std::memory_order_release);
#endif
}

void FastClock::discipline() noexcept {
  if (anchor_.load(std::memory_order_relaxed) != nullptr)
    take_anchor();
}

const char* FastClock::source() const noexcept {
  return anchor_.load(std::memory_order_relaxed) != nullptr ? "tsc" : "clock_gettime";
}

}  // namespace lockstep
