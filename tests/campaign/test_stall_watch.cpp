#include <gtest/gtest.h>

#include "harness/campaign/stall_watch.hpp"
#include "harness/core/units.hpp"

namespace lockstep::campaign {
namespace {

constexpr double kLookS = 0.2;

/// Steps of 0.1 s.
StallWatch practised() {
  StallWatch watch(kLookS);
  for (int i = 0; i < 20; ++i)
    watch.take(i % 2 == 0 ? 0.101 : 0.099);
  return watch;
}

std::int64_t at(double seconds) {
  return ns_from_seconds(seconds + 1.0);
}

TEST(StallWatch, SeesAStallWithinASecondAndItsEnd) {
  StallWatch watch = practised();
  EXPECT_FALSE(watch.observe(at(0.0), 20));
  EXPECT_FALSE(watch.observe(at(0.2), 20)) << "news may be late by the time between two looks";
  const auto stall = watch.observe(at(0.8), 20);
  ASSERT_TRUE(stall);
  EXPECT_EQ(stall->step, 20U);
  EXPECT_DOUBLE_EQ(stall->usual_s, 0.1);
  EXPECT_EQ(stall->length_ns, ns_from_seconds(0.8));
  EXPECT_FALSE(watch.take_ended());
  EXPECT_FALSE(watch.observe(at(3.0), 21));
  const auto ended = watch.take_ended();
  ASSERT_TRUE(ended);
  EXPECT_EQ(ended->length_ns, ns_from_seconds(3.0));
  EXPECT_FALSE(watch.take_ended()) << "told once";
}

TEST(StallWatch, EndsWithTheSteps) {
  StallWatch watch = practised();
  EXPECT_FALSE(watch.observe(at(0.0), 20));
  EXPECT_TRUE(watch.observe(at(1.0), 20));
  watch.end(at(2.0));
  EXPECT_TRUE(watch.take_ended());
  watch.end(at(3.0));
  EXPECT_FALSE(watch.take_ended());
}

TEST(StallWatch, KnowsNoStallBeforeItKnowsTheUsual) {
  StallWatch watch(kLookS);
  for (int i = 0; i < 9; ++i)
    watch.take(0.1);
  EXPECT_FALSE(watch.observe(at(0.0), 9));
  EXPECT_FALSE(watch.observe(at(60.0), 9));
}

TEST(StallWatch, SlowRunsAreNotStalls) {
  StallWatch watch(kLookS);
  for (int i = 0; i < 20; ++i)
    watch.take(10.0);
  EXPECT_FALSE(watch.observe(at(0.0), 20));
  EXPECT_FALSE(watch.observe(at(11.0), 20));
  EXPECT_TRUE(watch.observe(at(13.0), 20));
}

}  // namespace
}  // namespace lockstep::campaign
