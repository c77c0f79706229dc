#include <cstdlib>
#include <thread>

#include <gtest/gtest.h>

#include "harness/core/clock.hpp"

namespace lockstep {
namespace {

TEST(Clock, FormatsUtc) {
  EXPECT_EQ(format_utc(1'767'225'599'999'999'999), "2025-12-31T23:59:59Z");
  EXPECT_EQ(format_utc(0, UtcStyle::compact), "19700101T000000Z");
}

TEST(Clock, SleepReachesItsDeadline) {
  const std::int64_t until = monotonic_ns() + 2'000'000;
  sleep_until_ns(until);
  EXPECT_GE(monotonic_ns(), until);
  sleep_until_ns(until);  // in the past: returns
}

/// A reading of the fast clock lies between two readings of the kernel's, give or take the rate's error.
void expect_agreement(const FastClock& clock) {
  constexpr std::int64_t kToleranceNs = 20'000;
  for (int i = 0; i < 1000; ++i) {
    const std::int64_t before = monotonic_ns();
    const std::int64_t fast = clock.now_ns();
    const std::int64_t after = monotonic_ns();
    ASSERT_GE(fast, before - kToleranceNs);
    ASSERT_LE(fast, after + kToleranceNs);
  }
}

TEST(FastClock, FollowsTheMonotonicClock) {
  FastClock clock;
  expect_agreement(clock);
  sleep_until_ns(monotonic_ns() + 50'000'000);
  clock.discipline();
  expect_agreement(clock);
}

TEST(FastClock, MayBeDisciplinedWhileOthersRead) {
  FastClock clock;
  std::atomic<bool> stop{false};
  std::thread reader([&] {
    while (!stop)
      expect_agreement(clock);
  });
  for (int i = 0; i < 500; ++i)
    clock.discipline();
  stop = true;
  reader.join();
}

}  // namespace
}  // namespace lockstep
