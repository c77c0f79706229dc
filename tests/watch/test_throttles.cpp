#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "harness/watch/throttle_bits.hpp"
#include "harness/watch/throttles.hpp"
#include "tests/watch/synthetic_health.hpp"
#include "tests/watch/synthetic_launch.hpp"

namespace lockstep::watch {
namespace {

using record::Evidence;
using record::HealthRow;
using testing::IsEmpty;
using testing::SizeIs;

Evidence with_cards() {
  Evidence evidence = tests::make_launch({});
  tests::add_cards(evidence, 0);
  return evidence;
}

const record::StepRow& step_of(const LaunchView& view, std::uint32_t step, std::uint32_t rank) {
  return *view.steps_of(step)[rank];
}

TEST(Throttles, MarkTheStepsOfTheirRankAlone) {
  Evidence evidence = with_cards();
  tests::throttle(evidence, 0, 5, 20, 22, kThrottleHeatHardware);
  const LaunchView view = view_of(evidence, 0);
  const Throttles throttles(view);
  EXPECT_FALSE(throttles.empty());
  EXPECT_EQ(throttles.bits(step_of(view, 18, 5)), 0);
  EXPECT_EQ(throttles.bits(step_of(view, 20, 5)), kThrottleHeatHardware);
  EXPECT_EQ(throttles.bits(step_of(view, 22, 5)), kThrottleHeatHardware);
  EXPECT_EQ(throttles.bits(step_of(view, 24, 5)), 0);
  for (const std::uint32_t rank : {0U, 4U, 6U})
    EXPECT_EQ(throttles.bits(step_of(view, 21, rank)), 0) << rank;
}

TEST(Throttles, APowerCapOrAnIdleCardIsNone) {
  Evidence evidence = with_cards();
  tests::throttle(evidence, 0, 5, 20, 22,
                  kThrottlePowerCap | kThrottleIdle | kThrottleApplicationClocks | kThrottleSyncBoost);
  EXPECT_TRUE(Throttles(view_of(evidence, 0)).empty());
}

TEST(Throttles, TheCounterOfTimeTellsWhatNoReadingSaw) {
  Evidence evidence = with_cards();
  for (std::uint32_t step = 30; step < 42; ++step)
    tests::health_at(evidence, 0, 2, step).thermal_ns = 5'000'000;
  const LaunchView view = view_of(evidence, 0);
  const Throttles throttles(view);
  EXPECT_EQ(throttles.bits(step_of(view, 30, 2)), kThrottleHeatSoftware);
  EXPECT_EQ(throttles.bits(step_of(view, 32, 2)), 0) << "it rose once";
}

TEST(Throttles, OfProcessorsConcernAllRanksOfTheirHost) {
  Evidence evidence = tests::make_launch({});
  tests::add_processors(evidence, 0, "a2");  // ranks 2 and 3
  tests::throttle(evidence, 0, 2, 10, 10, kThrottleHeatHardware);
  const LaunchView view = view_of(evidence, 0);
  const Throttles throttles(view);
  EXPECT_NE(throttles.bits(step_of(view, 10, 2)), 0);
  EXPECT_NE(throttles.bits(step_of(view, 10, 3)), 0);
  EXPECT_EQ(throttles.bits(step_of(view, 10, 1)), 0);
  EXPECT_EQ(throttles.bits(99, 0, INT64_MAX), 0) << "a rank that there is not";
}

TEST(Throttles, OfProcessorsDoNotConcernRanksOnCards) {
  Evidence evidence = with_cards();
  tests::add_processors(evidence, 0, "a2");
  for (HealthRow& row : evidence.health)
    if (row.device == 1)
      row.throttle = kThrottleHeatHardware;
  const LaunchView view = view_of(evidence, 0);
  EXPECT_EQ(view.devices.size(), 9U);
  EXPECT_EQ(Throttles(view).bits(step_of(view, 10, 2)), 0);
  EXPECT_EQ(view.device_of(2)->kind, "gpu");
}

TEST(Throttles, ARankOnACardThatNobodyWatchesIsNotOnTheProcessors) {
  Evidence evidence = tests::make_launch({});
  tests::add_processors(evidence, 0, "a2");
  for (record::RankRow& row : evidence.ranks)
    row.gpu = "H200";
  const LaunchView view = view_of(evidence, 0);
  EXPECT_EQ(view.device_of(2), nullptr);
}

TEST(Throttles, UnknownIsNone) {
  Evidence evidence = with_cards();
  for (HealthRow& row : evidence.health)
    row.throttle = row.thermal_ns = -1;
  EXPECT_TRUE(Throttles(view_of(evidence, 0)).empty());
  EXPECT_TRUE(Throttles(view_of(tests::make_launch({}), 0)).empty()) << "nobody watched";
}

TEST(ThrottleSpans, AreAsLongAsTheRows) {
  HealthRow well;
  well.begin_ns = 0;
  well.end_ns = 10;
  well.throttle = 0;
  well.thermal_ns = 4;
  HealthRow hot = well;
  hot.begin_ns = 10;
  hot.end_ns = 25;
  hot.throttle = kThrottleHeatHardware | kThrottlePowerCap;
  hot.thermal_ns = 9;
  HealthRow silent;
  silent.begin_ns = 25;
  silent.end_ns = 30;
  HealthRow after = well;
  after.begin_ns = 30;
  after.end_ns = 35;
  after.thermal_ns = 9;
  const std::vector<const HealthRow*> rows{&well, &hot, &silent, &after};
  const std::vector<ThrottleSpan> spans = throttle_spans(rows);
  ASSERT_THAT(spans, SizeIs(1));
  EXPECT_EQ(spans[0].begin_ns, 10);
  EXPECT_EQ(spans[0].end_ns, 25);
  EXPECT_EQ(spans[0].bits, kThrottleHeatHardware);
  EXPECT_THAT(throttle_spans({}), IsEmpty());
}

}  // namespace
}  // namespace lockstep::watch
