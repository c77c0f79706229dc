#include "harness/mpi/wait.hpp"

#include <sched.h>

#include "harness/core/clock.hpp"
#include "harness/core/error.hpp"
#include "harness/core/units.hpp"

namespace lockstep::mpi {
namespace {

// A neighbour on the same host answers within the spins; a rank that has to be scheduled first within the
// yields.
constexpr std::uint32_t kSpins = 200;
constexpr std::uint32_t kYields = 1000;
constexpr std::int64_t kSleepNs = 100'000;

}  // namespace

Deadline::Deadline(double seconds)
    : seconds_(seconds), at_ns_(monotonic_ns() + static_cast<std::int64_t>(seconds * kNsPerS)) {
  LOCKSTEP_EXPECT(seconds > 0.0, "a deadline lies in the future");
}

bool Deadline::passed() const {
  return monotonic_ns() >= at_ns_;
}

void Backoff::pause() {
  ++pauses_;
  if (pauses_ <= kSpins)
    return;
  if (style_ == WaitStyle::prompt || pauses_ <= kSpins + kYields) {
    sched_yield();
    return;
  }
  sleep_until_ns(monotonic_ns() + kSleepNs);
}

}  // namespace lockstep::mpi
