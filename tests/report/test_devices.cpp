#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "harness/report/devices.hpp"
#include "harness/report/summary.hpp"
#include "harness/watch/throttle_bits.hpp"
#include "tests/app/synthetic_run.hpp"
#include "tests/watch/synthetic_health.hpp"

namespace lockstep::report {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

const auto kAll = [](std::uint32_t) { return true; };

record::Evidence on_cards() {
  record::Evidence evidence = app::synthetic_evidence();
  for (const record::LegRow& leg : evidence.legs)
    tests::add_cards(evidence, leg.leg);
  return evidence;
}

TEST(Devices, AreSummedUpOverLaunches) {
  record::Evidence evidence = on_cards();
  const std::uint32_t joint = 2;
  ASSERT_EQ(evidence.legs[joint].kind, "joint");
  tests::throttle(evidence, joint, 3, 20, 29, watch::kThrottleHeatHardware | watch::kThrottlePowerCap);
  tests::health_at(evidence, joint, 3, 40).xid = 94;
  tests::health_at(evidence, joint, 3, 41).xid = 63;
  tests::health_at(evidence, joint, 3, 42).xid = 63;
  for (std::uint32_t step = 50; step < 115; ++step)
    tests::health_at(evidence, joint, 3, step).ecc_corrected = 10;
  const std::vector<DeviceSummary> devices = summarize_devices(evidence, kAll);
  ASSERT_THAT(devices, SizeIs(4));
  const DeviceSummary& hot = devices[3];
  EXPECT_EQ(hot.device.serial, "16503");
  EXPECT_EQ(hot.site, "B");
  EXPECT_EQ(hot.host, "node01");
  EXPECT_EQ(hot.readings, 2U * 116) << "of both joint launches";
  EXPECT_EQ(hot.clock_mhz, 1980.0);
  EXPECT_EQ(hot.power_w, 650.0);
  EXPECT_EQ(hot.hottest_c, 92.0);
  EXPECT_EQ(hot.throttled, 10U);
  EXPECT_EQ(hot.new_corrected, 7);
  EXPECT_EQ(hot.new_uncorrected, 0);
  EXPECT_THAT(hot.xids, ElementsAre(63, 94));
  EXPECT_GT(hot.cost_share, 0.0);
  EXPECT_EQ(devices[0].readings, 6U * 116) << "ranks 0 and 1 are in every launch";
  EXPECT_EQ(devices[0].throttled, 0U);

  const std::string table = device_table(devices, Style{});
  EXPECT_THAT(table, AllOf(HasSubstr("16503"), HasSubstr("10: heat (hardware)"), HasSubstr("92 C"),
                           HasSubstr("7 corrected, Xid 63, Xid 94"), HasSubstr("1980 MHz")));
  const auto json = device_json(hot);
  EXPECT_EQ(json["serial"], "16503");
  EXPECT_EQ(json["throttle"], "heat (hardware), power cap");
  EXPECT_EQ(json["new_corrected_errors"], 7);
  EXPECT_EQ(json["xids"].size(), 2U);
}

TEST(Devices, WhatIsNotToldIsNull) {
  record::Evidence evidence = app::synthetic_evidence();
  record::DeviceRow device;
  device.kind = "gpu";
  evidence.devices = {device};
  record::HealthRow row;
  row.readings = 1;
  evidence.health = {row, row};
  const std::vector<DeviceSummary> devices = summarize_devices(evidence, kAll);
  ASSERT_THAT(devices, SizeIs(1));
  const auto json = device_json(devices[0]);
  EXPECT_TRUE(json["clock_mhz"].is_null());
  EXPECT_TRUE(json["hottest_c"].is_null());
  EXPECT_TRUE(json["new_uncorrected_errors"].is_null());
  EXPECT_THAT(device_table(devices, Style{}), HasSubstr("gpu"));
}

TEST(Devices, AreShownOfTheWantedLaunch) {
  const record::Evidence evidence = on_cards();
  EXPECT_THAT(summarize_devices(evidence, [](std::uint32_t leg) { return leg == 0; }), SizeIs(2));
  const RunSummary summary = summarize_run(evidence, "run.h5", std::nullopt);
  EXPECT_THAT(summary_text(summary, Style{}), HasSubstr("\nDevices, over all readings"));
  EXPECT_EQ(nlohmann::json::parse(summary_json(summary))["devices"].size(), 4U);
}

TEST(Devices, WithoutAnyNothingIsShown) {
  const RunSummary summary = summarize_run(app::synthetic_evidence(), "run.h5", std::nullopt);
  EXPECT_THAT(summary.devices, IsEmpty());
  EXPECT_THAT(device_table({}, Style{}), IsEmpty());
  EXPECT_THAT(summary_text(summary, Style{}), Not(HasSubstr("Devices")));
}

}  // namespace
}  // namespace lockstep::report
