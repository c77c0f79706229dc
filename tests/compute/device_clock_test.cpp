#include "harness/compute/device_clock.hpp"

#include <cmath>
#include <cstdlib>

#include <gmock/gmock.h>

#include "harness/core/hash.hpp"

namespace lockstep::compute {
namespace {

/// A device whose clock runs at its own rate, read by a host that needs a while for it.
struct Pretended {
  double drift = 0.0;  ///< of the host against the device
  std::int64_t offset_ns = 7'000'000'000'000;
  std::int64_t quick_ns = 4'000;   ///< from giving the event to the stamp, and from the stamp to seeing it
  std::int64_t jitter_ns = 6'000;  ///< more than that, at most
  std::uint64_t seed = 1;

  [[nodiscard]] std::int64_t host_ns(double device_s) const {
    return offset_ns + std::llround(device_s * 1e9 * (1.0 + drift));
  }
  [[nodiscard]] std::int64_t delay_ns() {
    return quick_ns + static_cast<std::int64_t>(mix64(seed++) % static_cast<std::uint64_t>(jitter_ns + 1));
  }
  DeviceClock::Reading read(double device_s) {
    return {device_s, host_ns(device_s) - delay_ns(), host_ns(device_s) + delay_ns()};
  }
};

TEST(DeviceClock, OneReadingTellsTheTimeWithinItsWindow) {
  DeviceClock clock;
  clock.add({2.0, 1'000'000, 1'010'000});
  EXPECT_EQ(clock.host_ns(2.0), 1'005'000);
  EXPECT_EQ(clock.error_ns(2.0), 5'000);
  EXPECT_EQ(clock.host_ns(3.0), 1'001'005'000);
  EXPECT_EQ(clock.error_ns(3.0), 205'000) << "200 ppm of a second may be wrong while the rate is unknown";
}

TEST(DeviceClock, TheStatedErrorHoldsForEveryDriftAndJitter) {
  for (const double drift : {0.0, 35e-6, -80e-6, 150e-6}) {
    for (const std::int64_t jitter_ns : {0LL, 6'000LL, 200'000LL}) {
      Pretended device;
      device.drift = drift;
      device.jitter_ns = jitter_ns;
      device.seed = 99 + static_cast<std::uint64_t>(jitter_ns);
      DeviceClock clock;
      for (int i = 0; i < 300; ++i) {
        const double now_s = 0.1 * i;
        clock.add(device.read(now_s));
        for (const double asked_s : {now_s, now_s - 0.05, now_s + 0.1}) {
          if (asked_s < 0.0)
            continue;
          const std::int64_t off = std::llabs(clock.host_ns(asked_s) - device.host_ns(asked_s));
          ASSERT_LE(off, clock.error_ns(asked_s)) << drift << " " << jitter_ns << " reading " << i;
        }
      }
      EXPECT_EQ(clock.readings(), 64U);
      EXPECT_LT(clock.error_ns(29.9), device.quick_ns * 2 + jitter_ns)
          << "and it is no larger than the windows";
    }
  }
}

TEST(DeviceClock, FindsTheDrift) {
  Pretended device;
  device.drift = 42e-6;
  DeviceClock clock;
  for (int i = 0; i < 60; ++i)
    clock.add(device.read(0.1 * i));
  EXPECT_NEAR(clock.drift_ppm(), 42.0, 1.0);
}

TEST(DeviceClock, DoesNotTakeARateFromReadingsTooCloseToTellOne) {
  Pretended device;
  device.drift = 42e-6;
  DeviceClock clock;
  for (int i = 0; i < 20; ++i)
    clock.add(device.read(0.001 * i));
  EXPECT_EQ(clock.drift_ppm(), 0.0);
  EXPECT_LE(std::llabs(clock.host_ns(0.5) - device.host_ns(0.5)), clock.error_ns(0.5));
}

TEST(DeviceClock, AHostThatWasBusyOnceSpoilsNothing) {
  Pretended device;
  DeviceClock clock;
  for (int i = 0; i < 20; ++i) {
    DeviceClock::Reading reading = device.read(0.1 * i);
    if (i % 5 == 3)
      reading.host_after_ns += 40'000'000;  // it lost its core before it looked
    clock.add(reading);
  }
  EXPECT_LT(clock.error_ns(1.9), 30'000);
  EXPECT_LE(std::llabs(clock.host_ns(1.9) - device.host_ns(1.9)), clock.error_ns(1.9));
}

TEST(DeviceClock, ReadingsThatLieBackwardsAreNotTaken) {
  DeviceClock clock;
  clock.add({2.0, 1'000'000, 1'010'000});
  clock.add({1.0, 2'000'000, 2'010'000});
  clock.add({3.0, 900'000, 910'000});
  clock.add({3.0, 2'010'000, 2'000'000});
  EXPECT_EQ(clock.readings(), 1U);
}

}  // namespace
}  // namespace lockstep::compute
