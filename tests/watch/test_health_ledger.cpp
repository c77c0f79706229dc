#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "harness/watch/health_ledger.hpp"
#include "harness/watch/throttle_bits.hpp"

namespace lockstep::watch {
namespace {

using record::HealthRow;
using testing::IsEmpty;
using testing::SizeIs;

constexpr std::int64_t kSecond = 1'000'000'000;

/// Readings once a second, from second 0 on; all rows that come of it.
struct Watched {
  HealthLedger ledger;
  std::vector<HealthRow> rows;
  std::int64_t now_ns = -kSecond;
  void read(const HealthReading& reading, std::int64_t cost_ns = 10) {
    now_ns += kSecond;
    for (HealthRow& row : ledger.add(reading, now_ns, cost_ns))
      rows.push_back(std::move(row));
  }
  void close() {
    if (auto row = ledger.close())
      rows.push_back(*row);
  }
};

/// Every reading is in a row, and rows follow each other without a gap.
void expect_whole(const std::vector<HealthRow>& rows, std::size_t readings) {
  std::size_t counted = 0;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    counted += rows[i].readings;
    EXPECT_GT(rows[i].readings, 0U);
    if (i > 0) {
      EXPECT_EQ(rows[i].begin_ns, rows[i - 1].end_ns);
      EXPECT_LT(rows[i].begin_ns, rows[i].end_ns);
    }
  }
  EXPECT_EQ(counted, readings);
}

TEST(HealthLedger, AYoungRunHasARowForEachReading) {
  Watched run;
  for (int i = 0; i < 100; ++i)
    run.read({.temperature_c = 50.0 + i});
  run.close();
  EXPECT_THAT(run.rows, SizeIs(100));
  expect_whole(run.rows, 100);
  EXPECT_EQ(run.rows[0].begin_ns, run.rows[0].end_ns) << "the first speaks for its own moment";
  EXPECT_EQ(run.rows[7].temperature_c, 57.0);
  EXPECT_EQ(run.rows[7].cost_ns, 10);
}

TEST(HealthLedger, WhatIsNotToldStaysUnknown) {
  Watched run;
  run.read({});
  ASSERT_THAT(run.rows, SizeIs(1));
  HealthRow unknown;
  unknown.readings = 1;
  unknown.cost_ns = 10;
  EXPECT_EQ(run.rows[0], unknown) << "-1 in every column, and no 0";
  EXPECT_EQ(run.rows[0].ecc_uncorrected, -1);
  EXPECT_EQ(run.rows[0].throttle, -1);
  EXPECT_EQ(run.rows[0].xid, -1);
}

TEST(HealthLedger, EverythingThatIsToldIsStored) {
  Watched run;
  run.read({.clock_mhz = 1980.0,
            .memory_mhz = 3201.0,
            .temperature_c = 61.0,
            .power_w = 650.5,
            .throttle = 4,
            .thermal_ns = 11,
            .ecc_corrected = 12,
            .ecc_uncorrected = 13,
            .remapped_rows = 14,
            .link_errors = 15,
            .remap_pending = true,
            .remap_failed = false,
            .xid = 0});
  ASSERT_THAT(run.rows, SizeIs(1));
  HealthRow expected;
  expected.readings = 1;
  expected.cost_ns = 10;
  expected.clock_mhz = 1980.0;
  expected.memory_mhz = 3201.0;
  expected.temperature_c = 61.0;
  expected.power_w = 650.5;
  expected.throttle = 4;
  expected.thermal_ns = 11;
  expected.ecc_corrected = 12;
  expected.ecc_uncorrected = 13;
  expected.remapped_rows = 14;
  expected.link_errors = 15;
  expected.remap_pending = 1;
  expected.remap_failed = 0;
  expected.xid = 0;
  EXPECT_EQ(run.rows[0], expected);
}

TEST(HealthLedger, AMonthFitsTheJournal) {
  Watched run;
  constexpr std::size_t kMonth = 30 * 24 * 3600;
  for (std::size_t i = 0; i < kMonth; ++i)
    run.read({.temperature_c = 60.0, .power_w = i % 2 == 0 ? 500.0 : 700.0});
  run.close();
  EXPECT_LT(run.rows.size(), HealthLedger::kRows - HealthLedger::kEvents);
  expect_whole(run.rows, kMonth);
  EXPECT_NEAR(run.rows[run.rows.size() - 2].power_w, 600.0, 5.0) << "a mean";
  EXPECT_LE(run.rows.back().end_ns - run.rows.back().begin_ns,
            run.now_ns / HealthLedger::kShareOfAge + kSecond);
}

TEST(HealthLedger, AThrottleBeginsAndEndsARow) {
  Watched run;
  constexpr int kDay = 24 * 3600;
  for (int i = 0; i < kDay; ++i)
    run.read({.throttle = 0});
  const std::int64_t before_ns = run.now_ns;
  for (int i = 0; i < 3; ++i)
    run.read({.throttle = kThrottleHeatHardware | kThrottleHardware});
  for (int i = 0; i < 1000; ++i)
    run.read({.throttle = kThrottlePowerCap});
  run.close();
  expect_whole(run.rows, kDay + 3 + 1000);
  std::vector<HealthRow> throttled;
  for (const HealthRow& row : run.rows)
    if (row.throttled > 0)
      throttled.push_back(row);
  ASSERT_THAT(throttled, SizeIs(1)) << "a power cap is no throttle";
  EXPECT_EQ(throttled[0].begin_ns, before_ns);
  EXPECT_EQ(throttled[0].end_ns, before_ns + 3 * kSecond);
  EXPECT_EQ(throttled[0].readings, 3U);
  EXPECT_EQ(throttled[0].throttled, 3U);
  EXPECT_EQ(throttled[0].throttle, kThrottleHeatHardware | kThrottleHardware);
}

TEST(HealthLedger, ThrottlingBetweenReadingsShowsInItsCounter) {
  Watched run;
  for (int i = 0; i < 5000; ++i)
    run.read({.throttle = 0, .thermal_ns = 7});
  run.read({.throttle = 0, .thermal_ns = 9});
  const std::int64_t risen_ns = run.now_ns;
  for (int i = 0; i < 100; ++i)
    run.read({.throttle = 0, .thermal_ns = 9});
  run.close();
  const auto row = std::find_if(run.rows.begin(), run.rows.end(),
                                [](const HealthRow& one) { return one.thermal_ns == 9; });
  ASSERT_NE(row, run.rows.end());
  EXPECT_EQ(row->begin_ns, risen_ns - kSecond);
  EXPECT_EQ(row->end_ns, risen_ns);
}

TEST(HealthLedger, AnErrorIsStoredAtOnce) {
  Watched run;
  for (int i = 0; i < 5000; ++i)
    run.read({.ecc_uncorrected = 2, .xid = 0});
  const std::size_t before = run.rows.size();
  run.read({.ecc_uncorrected = 3, .xid = 0});
  ASSERT_GT(run.rows.size(), before);
  EXPECT_EQ(run.rows.back().ecc_uncorrected, 3);
  EXPECT_EQ(run.rows.back().readings, 1U);
  run.read({.ecc_uncorrected = 3, .xid = 79});
  EXPECT_EQ(run.rows.back().xid, 79);
  run.read({.ecc_uncorrected = 3, .xid = 0});
  run.close();
  EXPECT_EQ(run.rows.back().xid, 0);
  expect_whole(run.rows, 5003);
}

TEST(HealthLedger, AFlickeringThrottleDoesNotFillTheJournal) {
  Watched run;
  constexpr int kReadings = 40'000;
  for (int i = 0; i < kReadings; ++i)
    run.read({.throttle = i % 2 == 0 ? kThrottlePowerBrake : 0});
  run.close();
  EXPECT_LE(run.rows.size(), HealthLedger::kRows);
  expect_whole(run.rows, kReadings);
  std::size_t throttled = 0;
  for (const HealthRow& row : run.rows)
    throttled += row.throttled;
  EXPECT_EQ(throttled, kReadings / 2) << "nothing is lost, it is only coarser";
}

TEST(HealthLedger, ACardThatFallsSilentIsUnknownFromThen) {
  Watched run;
  run.read({.temperature_c = 60.0, .ecc_uncorrected = 0});
  run.read({});
  run.close();
  ASSERT_THAT(run.rows, SizeIs(2));
  EXPECT_EQ(run.rows[1].temperature_c, -1.0);
  EXPECT_EQ(run.rows[1].ecc_uncorrected, -1);
}

TEST(HealthLedger, HasNothingWithoutAReading) {
  HealthLedger ledger;
  EXPECT_FALSE(ledger.close());
}

TEST(ThrottleWords, AreThoseOfTheBits) {
  EXPECT_EQ(throttle_words(0), "");
  EXPECT_EQ(throttle_words(-1), "");
  EXPECT_EQ(throttle_words(0x40 | 0x80), "heat (hardware), power brake");
  EXPECT_EQ(throttle_words(0x20 | 0x8), "heat (software), hardware slowdown");
  EXPECT_EQ(throttle_words(0x1 | 0x2 | 0x4), "power cap, application clocks, idle");
  EXPECT_EQ(kRealThrottle & (0x1 | 0x2 | 0x4 | 0x10 | 0x100), 0);
}

}  // namespace
}  // namespace lockstep::watch
