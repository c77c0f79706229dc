#include <gtest/gtest.h>

#include "harness/record/common_clock.hpp"

namespace lockstep::record {
namespace {

TEST(CommonClock, InterpolatesBetweenMeasurementsAndHoldsOutside) {
  // Given out of order; an offset with more digits than a double holds.
  const std::int64_t base = 4'000'000'000'000'000'123;
  const CommonClock clock({{.local_ns = 2000, .offset_ns = base + 100, .bound_ns = 7},
                           {.local_ns = 1000, .offset_ns = base, .bound_ns = 9}});
  EXPECT_EQ(clock.to_common_ns(1000), base + 1000);
  EXPECT_EQ(clock.to_common_ns(1500), base + 1550);
  EXPECT_EQ(clock.to_common_ns(2000), base + 2100);
  EXPECT_EQ(clock.to_common_ns(500), base + 500);
  EXPECT_EQ(clock.to_common_ns(5000), base + 5100);
  EXPECT_EQ(clock.bound_ns(), 9);
}

TEST(CommonClock, WithoutMeasurementsChangesNothing) {
  EXPECT_EQ(CommonClock().to_common_ns(42), 42);
  EXPECT_EQ(CommonClock().measurements(), 0U);
}

}  // namespace
}  // namespace lockstep::record
