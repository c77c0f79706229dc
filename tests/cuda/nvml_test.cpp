#include "harness/cuda/nvml.hpp"

#include <filesystem>

#include <gmock/gmock.h>

#include "tests/cuda/fake_nvml_access.hpp"

namespace lockstep::cuda {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Key;
using ::testing::Pair;
using ::testing::SizeIs;

class NvmlTest : public testing::Test {
 protected:
  Nvml open() {
    std::string reason;
    std::optional<Nvml> found = Nvml::open(reason, fake.path());
    EXPECT_TRUE(found) << reason;
    return std::move(*found);
  }
  tests::LoadedFakeNvml fake{LOCKSTEP_FAKE_NVML};
};

TEST_F(NvmlTest, TellsWhatACardIs) {
  const Nvml nvml = open();
  std::vector<NvmlCard> cards = nvml.cards();
  ASSERT_THAT(cards, SizeIs(2));
  const CardIdentity& card = cards[1].identity();
  EXPECT_EQ(card.name, "NVIDIA H200");
  EXPECT_EQ(card.serial, "1650987654321");
  EXPECT_EQ(card.uuid, "GPU-1111");
  EXPECT_EQ(card.pci_bus, "0000:9d:00.0");
  EXPECT_EQ(card.vbios, "96.00.99.00.01");
  EXPECT_EQ(card.driver, "580.65.06");
  EXPECT_EQ(card.power_limit_w, 700.0);
  EXPECT_THAT(cards[1].missing(), IsEmpty());
}

TEST_F(NvmlTest, FindsACardByBusOrUuid) {
  const Nvml nvml = open();
  EXPECT_EQ(nvml.find("00000000:9D:00.0")->identity().uuid, "GPU-1111");
  EXPECT_EQ(nvml.find("GPU-0000")->identity().pci_bus, "0000:1b:00.0");
  EXPECT_FALSE(nvml.find("0000:01:00.0"));
  EXPECT_FALSE(nvml.find("GPU-2222"));
  EXPECT_FALSE(nvml.find(""));
}

TEST_F(NvmlTest, ReadsEveryFigure) {
  tests::FakeCard& told = fake.card(0);
  told.throttle = 0x44;
  told.thermal_ns = 1'500'000;
  told.ecc[0] = 7;
  told.ecc[1] = 2;
  told.remapped_corrected = 3;
  told.remapped_uncorrected = 1;
  told.remap_pending = 1;
  told.link_errors = 5;
  const Nvml nvml = open();
  NvmlCard card = std::move(nvml.cards()[0]);
  const CardReading reading = card.read();
  EXPECT_EQ(reading.sm_mhz, 1980.0);
  EXPECT_EQ(reading.memory_mhz, 3201.0);
  EXPECT_EQ(reading.temperature_c, 55.0);
  EXPECT_NEAR(*reading.power_w, 650.5, 1e-9);
  EXPECT_EQ(reading.throttle, 0x44U);
  EXPECT_EQ(reading.thermal_ns, 1'500'000U);
  EXPECT_EQ(reading.ecc_corrected, 7U);
  EXPECT_EQ(reading.ecc_uncorrected, 2U);
  EXPECT_EQ(reading.remapped_rows, 4U);
  EXPECT_EQ(reading.remap_pending, true);
  EXPECT_EQ(reading.remap_failed, false);
  EXPECT_EQ(reading.link_errors, 5U * 2 * 4) << "two active links of four counters";
  EXPECT_EQ(reading.xid, 0U);
}

TEST_F(NvmlTest, AnXidIsToldOnce) {
  const Nvml nvml = open();
  NvmlCard card = std::move(nvml.cards()[0]);
  fake.card(0).xids[0] = 94;
  fake.card(0).xid_count = 1;
  EXPECT_EQ(card.read().xid, 94U);
  EXPECT_EQ(card.read().xid, 0U);
}

TEST_F(NvmlTest, EventsNeverEndingDoNotKeepTheReader) {
  const Nvml nvml = open();
  NvmlCard card = std::move(nvml.cards()[0]);
  fake.card(0).xid_count = 8;
  for (unsigned long long& xid : fake.card(0).xids)
    xid = 79;
  EXPECT_EQ(card.read().xid, 79U);
}

TEST_F(NvmlTest, LinksAreAskedNowAndThen) {
  const Nvml nvml = open();
  NvmlCard card = std::move(nvml.cards()[0]);
  fake->link_questions = 0;
  fake.card(0).link_errors = 1;
  EXPECT_EQ(card.read().link_errors, 8U);
  fake.card(0).link_errors = 2;
  for (int i = 1; i < 10; ++i)
    EXPECT_EQ(card.read().link_errors, 8U) << "as of the last time";
  EXPECT_EQ(fake->link_questions, 8);
  EXPECT_EQ(card.read().link_errors, 16U);
}

TEST_F(NvmlTest, WhatACardDoesNotSupportIsUnknownAndNotZero) {
  fake->reading_code = 3;
  fake->serial_code = 3;
  fake->register_code = 4;
  const Nvml nvml = open();
  NvmlCard card = std::move(nvml.cards()[0]);
  EXPECT_EQ(card.identity().serial, "");
  EXPECT_EQ(card.identity().name, "NVIDIA H200");
  const CardReading reading = card.read();
  EXPECT_FALSE(reading.sm_mhz);
  EXPECT_FALSE(reading.temperature_c);
  EXPECT_FALSE(reading.throttle);
  EXPECT_FALSE(reading.ecc_uncorrected);
  EXPECT_FALSE(reading.remap_failed);
  EXPECT_FALSE(reading.link_errors);
  EXPECT_FALSE(reading.xid) << "no events without permission";
  EXPECT_THAT(card.missing(), Contains(Pair("power_w", "Not Supported")));
  EXPECT_THAT(card.missing(), Contains(Pair("xid", "Insufficient Permissions")));
  EXPECT_EQ(fake->event_sets, 0) << "the set that nothing arrives in was freed";
}

TEST_F(NvmlTest, AnErrorThatComesLaterIsUnknownFromThenOn) {
  const Nvml nvml = open();
  NvmlCard card = std::move(nvml.cards()[0]);
  EXPECT_TRUE(card.read().temperature_c);
  fake->reading_code = 15;  // the card is lost
  EXPECT_FALSE(card.read().temperature_c);
  EXPECT_THAT(card.missing(), IsEmpty()) << "of the first reading";
}

TEST_F(NvmlTest, GivesEverythingBack) {
  {
    std::optional<Nvml> nvml = open();
    std::vector<NvmlCard> cards = nvml->cards();
    EXPECT_EQ(fake->initialised, 1);
    EXPECT_EQ(fake->event_sets, 2);
    nvml.reset();
    EXPECT_EQ(fake->initialised, 1) << "a card keeps the library";
    EXPECT_TRUE(cards[0].read().power_w);
    cards[0] = std::move(cards[1]);
    EXPECT_EQ(fake->event_sets, 1);
  }
  EXPECT_EQ(fake->initialised, 0);
  EXPECT_EQ(fake->event_sets, 0);
}

TEST_F(NvmlTest, ADriverThatDoesNotInitialiseIsAReason) {
  fake->init_code = 9;
  std::string reason;
  EXPECT_FALSE(Nvml::open(reason, fake.path()));
  EXPECT_THAT(reason, HasSubstr("nvmlInit failed: Some Error"));
  EXPECT_EQ(fake->initialised, 0);
}

TEST(OldNvml, LacksWhatItsDriverLacksAndTellsTheRest) {
  tests::LoadedFakeNvml fake(LOCKSTEP_FAKE_NVML_OLD);
  fake.card(0).throttle = 8;
  std::string reason;
  const std::optional<Nvml> nvml = Nvml::open(reason, fake.path());
  ASSERT_TRUE(nvml) << reason;
  NvmlCard card = std::move(nvml->cards()[0]);
  const CardReading reading = card.read();
  EXPECT_EQ(reading.throttle, 8U) << "under its old name";
  EXPECT_EQ(reading.temperature_c, 55.0);
  EXPECT_FALSE(reading.thermal_ns);
  EXPECT_FALSE(reading.remapped_rows);
  EXPECT_FALSE(reading.link_errors);
  EXPECT_FALSE(reading.xid);
  EXPECT_FALSE(card.identity().power_limit_w);
  EXPECT_THAT(card.missing(), Contains(Pair("remapped_rows", "not in this driver")));
  EXPECT_THAT(card.missing(), Contains(Key("xid")));
}

TEST(NoNvml, IsAReasonInOneLine) {
  std::string reason;
  EXPECT_FALSE(Nvml::open(reason, "/nowhere/libnvidia-ml.so.1"));
  EXPECT_THAT(reason, HasSubstr("/nowhere/libnvidia-ml.so.1"));
  EXPECT_EQ(reason.find('\n'), std::string::npos);
  EXPECT_FALSE(Nvml::open(reason, LOCKSTEP_NO_NVML)) << "a library, and no NVML";
  EXPECT_THAT(reason, HasSubstr("lacks functions"));
}

TEST(RealNvml, TellsOfTheCardsOfThisMachine) {
  std::string reason;
  const std::optional<Nvml> nvml = Nvml::open(reason);
  if (!nvml)
    GTEST_SKIP() << reason;
  for (NvmlCard& card : nvml->cards()) {
    EXPECT_FALSE(card.identity().name.empty());
    EXPECT_FALSE(card.identity().pci_bus.empty());
    const CardReading reading = card.read();
    EXPECT_TRUE(reading.temperature_c);
    EXPECT_TRUE(reading.throttle);
    for (const auto& [what, why] : card.missing())
      std::printf("%s: no %s: %s\n", card.identity().name.c_str(), what.c_str(), why.c_str());
  }
}

TEST(PciBus, IsWrittenInOneWay) {
  EXPECT_EQ(normal_pci_bus("00000000:1B:00.0"), "0000:1b:00.0");
  EXPECT_EQ(normal_pci_bus("0000:1b:00.0"), "0000:1b:00.0");
  EXPECT_EQ(normal_pci_bus("1b:00.0"), "0000:1b:00.0");
  EXPECT_EQ(normal_pci_bus("0001:c8:1f.7"), "0001:c8:1f.7");
  for (const char* none : {"", "GPU-1234", "1b", "1b:00", ":00.0", "x:00.0", "1b:.0", "1b:00.", "1b.00:0"})
    EXPECT_EQ(normal_pci_bus(none), "") << none;
}

}  // namespace
}  // namespace lockstep::cuda
