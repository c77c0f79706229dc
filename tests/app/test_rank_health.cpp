#include <cstdlib>
#include <filesystem>

#include <gmock/gmock.h>

#include "harness/app/rank_health.hpp"
#include "harness/core/clock.hpp"
#include "tests/cuda/fake_nvml_access.hpp"

namespace lockstep::app {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

class RankHealthTest : public testing::Test {
 protected:
  RankHealthTest() {
    std::string name = std::filesystem::temp_directory_path() / "lockstep-health-XXXXXX";
    folder_ = ::mkdtemp(name.data());
    places_.nvml = fake_.path();
    places_.root = folder_;  // a host that shows nothing
    plan_.compute.backend = plan::ComputeBackend::cuda;
    rank_.leg = 3;
    rank_.rank = 5;
    rank_.local_rank = 1;
    rank_.gpu = "1 (0000:9d:00.0) GPU-1111";  // as describe_rank() writes it
  }
  ~RankHealthTest() override { std::filesystem::remove_all(folder_); }
  [[nodiscard]] WatchedDevices find() const { return find_devices(plan_, rank_, places_); }

  tests::LoadedFakeNvml fake_{LOCKSTEP_FAKE_NVML};
  std::string folder_;
  DevicePlaces places_;
  plan::Plan plan_;
  record::RankRow rank_;
};

TEST_F(RankHealthTest, ARankWatchesItsOwnCard) {
  const WatchedDevices devices = find();
  ASSERT_THAT(devices.rows, SizeIs(1));
  EXPECT_EQ(devices.rows[0].serial, "1650987654321");
  EXPECT_EQ(devices.rows[0].leg, 3U);
  EXPECT_EQ(devices.rows[0].rank, 5U);
  EXPECT_EQ(devices.rows[0].device, 0U);
  EXPECT_THAT(devices.warnings, IsEmpty());
  EXPECT_GT(health_rows(devices), 0U);
}

TEST_F(RankHealthTest, AnInstanceOfACardIsWatchedByItsCard) {
  rank_.gpu = "0 (0000:9d:00.0) MIG-7c5e2a4e";
  const WatchedDevices devices = find();
  ASSERT_THAT(devices.rows, SizeIs(1));
  EXPECT_EQ(devices.rows[0].serial, "1650987654321") << "NVML tells of cards";
  EXPECT_THAT(devices.warnings, IsEmpty());
}

TEST_F(RankHealthTest, WithoutAnAddressTheUuidTells) {
  rank_.gpu = "1 () GPU-1111";
  ASSERT_THAT(find().rows, SizeIs(1));
  EXPECT_EQ(find().rows[0].serial, "1650987654321");
}

TEST_F(RankHealthTest, TheFirstRankOfAHostWatchesItsProcessorsToo) {
  rank_.local_rank = 0;
  rank_.gpu = "GPU-0000 (NVIDIA H200)";
  const WatchedDevices devices = find();
  ASSERT_THAT(devices.rows, SizeIs(2));
  EXPECT_EQ(devices.rows[0].serial, "1650123456789");
  EXPECT_EQ(devices.rows[1].kind, "cpu");
  EXPECT_EQ(devices.rows[1].device, 1U);
}

TEST_F(RankHealthTest, OnProcessorsNobodyAsksForACard) {
  plan_.compute.backend = plan::ComputeBackend::paced;
  EXPECT_THAT(find().rows, IsEmpty());
  EXPECT_EQ(fake_->initialised, 0);
  EXPECT_EQ(health_rows(find()), 0U);
}

TEST_F(RankHealthTest, ThePlanMayAskForNothing) {
  plan_.health.per_second = 0.0;
  rank_.local_rank = 0;
  EXPECT_THAT(find().rows, IsEmpty());
}

TEST_F(RankHealthTest, ACardThatCannotBeWatchedIsAWarning) {
  rank_.gpu = "0000:01:00.0";
  EXPECT_THAT(find().warnings, testing::ElementsAre(HasSubstr("NVML does not know it")));
  rank_.gpu = "";
  EXPECT_THAT(find().warnings, testing::ElementsAre(HasSubstr("is not known")));
  rank_.gpu = "NVIDIA H200";
  EXPECT_THAT(find().warnings, testing::ElementsAre(HasSubstr("names neither PCI bus nor UUID")));
  rank_.gpu = "GPU-1111";
  places_.nvml = "/nowhere/libnvidia-ml.so.1";
  EXPECT_THAT(find().warnings, testing::ElementsAre(HasSubstr("cannot load /nowhere")));
  EXPECT_THAT(find().rows, IsEmpty());
}

TEST_F(RankHealthTest, WhatIsReadIsInTheJournal) {
  fake_.card(1).temperature = 71;
  fake_.card(1).throttle = 0x40;
  plan_.health.per_second = 1000.0;
  WatchedDevices devices = find();
  record::RankMeta meta;
  meta.rank = rank_;
  meta.devices = devices.rows;
  const record::JournalRoom room{.health = health_rows(devices)};
  record::Journal journal = record::Journal::create(folder_ + "/j", meta, 10, 1, 1, 1, room);
  const auto rows = [this] { return record::JournalReader::open(folder_ + "/j").health(); };
  {
    const auto sampler = start_health(plan_, std::move(devices), rank_, journal);
    ASSERT_NE(sampler, nullptr);
    const std::int64_t until_ns = monotonic_ns() + 60'000'000'000;
    while (rows().empty() && monotonic_ns() < until_ns)
      sleep_until_ns(monotonic_ns() + 1'000'000);
  }
  ASSERT_FALSE(rows().empty());
  const record::HealthRow first = rows().front();
  EXPECT_EQ(first.leg, 3U);
  EXPECT_EQ(first.rank, 5U);
  EXPECT_EQ(first.device, 0U);
  EXPECT_EQ(first.temperature_c, 71.0);
  EXPECT_EQ(first.throttle, 0x40);
  EXPECT_EQ(first.throttled, first.readings);
  EXPECT_EQ(record::JournalReader::open(folder_ + "/j").dropped_others(), 0U);
}

TEST_F(RankHealthTest, WithoutDevicesNoThreadRuns) {
  record::Journal journal = record::Journal::create(folder_ + "/j", {}, 10, 1, 1, 1);
  EXPECT_EQ(start_health(plan_, {}, rank_, journal), nullptr);
}

}  // namespace
}  // namespace lockstep::app
