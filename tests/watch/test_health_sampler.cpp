#include <atomic>
#include <condition_variable>
#include <mutex>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "harness/core/clock.hpp"
#include "harness/watch/health_sampler.hpp"
#include "harness/watch/nvml_health.hpp"
#include "tests/cuda/fake_nvml_access.hpp"

namespace lockstep::watch {
namespace {

using record::HealthRow;
using testing::HasSubstr;

/// What a source and its test share; it outlives both.
struct Script {
  std::mutex mutex;
  std::condition_variable changed;
  bool stuck = false;  ///< the next look does not end
  int looks = 0;
  bool in_look = false;
};

class ScriptedSource final : public HealthSource {
 public:
  explicit ScriptedSource(std::shared_ptr<Script> script) : script_(std::move(script)) {}
  [[nodiscard]] record::DeviceRow describe() const override { return {}; }
  [[nodiscard]] HealthReading read(std::int64_t /*now_ns*/) override {
    std::unique_lock lock(script_->mutex);
    ++script_->looks;
    script_->in_look = true;
    script_->changed.notify_all();
    script_->changed.wait(lock, [this] { return !script_->stuck; });
    script_->in_look = false;
    script_->changed.notify_all();
    return {.temperature_c = static_cast<double>(script_->looks)};
  }

 private:
  std::shared_ptr<Script> script_;
};

struct Rows {
  std::mutex mutex;
  std::vector<HealthRow> all;
  void add(const HealthRow& row) {
    const std::lock_guard lock(mutex);
    all.push_back(row);
  }
  std::size_t size() {
    const std::lock_guard lock(mutex);
    return all.size();
  }
};

std::vector<std::unique_ptr<HealthSource>> sources(const std::vector<std::shared_ptr<Script>>& scripts) {
  std::vector<std::unique_ptr<HealthSource>> made;
  for (const auto& script : scripts)
    made.push_back(std::make_unique<ScriptedSource>(script));
  return made;
}

template <class Condition>
bool eventually(Condition condition) {
  const std::int64_t until_ns = monotonic_ns() + 60'000'000'000;
  while (!condition() && monotonic_ns() < until_ns)
    sleep_until_ns(monotonic_ns() + 1'000'000);
  return condition();
}

TEST(HealthSampler, LooksAtOnceNowAndThenAndAtTheEnd) {
  const auto first = std::make_shared<Script>();
  const auto second = std::make_shared<Script>();
  Rows rows;
  {
    const HealthSampler sampler(sources({first, second}), {.per_second = 1000.0, .patience_s = 60.0},
                                [&rows](const HealthRow& row) { rows.add(row); });
    EXPECT_TRUE(eventually([&rows] { return rows.size() >= 6; }));
  }
  std::uint32_t readings = 0;
  for (const HealthRow& row : rows.all)
    readings += row.readings;
  EXPECT_EQ(static_cast<int>(readings), first->looks + second->looks) << "each look is in a row";
  EXPECT_EQ(first->looks, second->looks);
  for (const HealthRow& row : rows.all)
    EXPECT_LE(row.device, 1U);
  EXPECT_EQ(rows.all[0].device, 0U);
  EXPECT_EQ(rows.all[1].device, 1U);
  EXPECT_EQ(rows.all.back().temperature_c, second->looks) << "one more at the end";
}

TEST(HealthSampler, ARarePeriodDoesNotKeepTheEndWaiting) {
  const auto script = std::make_shared<Script>();
  Rows rows;
  {
    const HealthSampler sampler(sources({script}), {.per_second = 1e-6, .patience_s = 60.0},
                                [&rows](const HealthRow& row) { rows.add(row); });
    EXPECT_TRUE(eventually([&rows] { return rows.size() >= 1; }));
  }
  EXPECT_EQ(script->looks, 2) << "at the begin and at the end";
  EXPECT_EQ(rows.size(), 2U);
}

TEST(HealthSampler, ADriverThatNeverAnswersIsLeftBehind) {
  const auto script = std::make_shared<Script>();
  script->stuck = true;
  Rows rows;
  {
    const HealthSampler sampler(sources({script}), {.per_second = 1000.0, .patience_s = 0.05},
                                [&rows](const HealthRow& row) { rows.add(row); });
    EXPECT_TRUE(eventually([&script] {
      const std::lock_guard lock(script->mutex);
      return script->in_look;
    }));
  }  // returns although the look has not
  EXPECT_EQ(rows.size(), 0U);
  {
    std::unique_lock lock(script->mutex);
    script->stuck = false;
    script->changed.notify_all();
    script->changed.wait(lock, [&script] { return !script->in_look; });
  }
  // It looks once more as it ends, and adds nothing any more.
  EXPECT_TRUE(eventually([&script] { return script.use_count() == 1; }));
  EXPECT_EQ(rows.size(), 0U);
}

TEST(HealthSampler, SlowLooksBecomeRarer) {
  tests::LoadedFakeNvml fake(LOCKSTEP_FAKE_NVML);
  fake->wait_ms = 20;
  std::string reason;
  const auto nvml = cuda::Nvml::open(reason, fake.path());
  ASSERT_TRUE(nvml) << reason;
  std::vector<std::unique_ptr<HealthSource>> cards;
  cards.push_back(std::make_unique<NvmlHealth>(std::move(*nvml->find("GPU-0000"))));
  const int before = fake->readings;
  Rows rows;
  {
    const HealthSampler sampler(std::move(cards), {.per_second = 100.0, .patience_s = 60.0},
                                [&rows](const HealthRow& row) { rows.add(row); });
    EXPECT_TRUE(eventually([&rows] { return rows.size() >= 2; }));
  }
  ASSERT_GE(rows.all.size(), 2U);
  EXPECT_GE(rows.all[0].cost_ns, 20'000'000);
  EXPECT_GE(rows.all[1].end_ns - rows.all[0].end_ns, 99 * 20'000'000) << "a hundred times what a look takes";
  EXPECT_LE(fake->readings - before, 4);
}

TEST(NvmlHealth, IsTheCardInTheRunFilesTerms) {
  tests::LoadedFakeNvml fake(LOCKSTEP_FAKE_NVML_OLD);
  fake->reading_code = 3;
  fake.card(0).ecc[1] = 4;
  std::string reason;
  const auto nvml = cuda::Nvml::open(reason, fake.path());
  ASSERT_TRUE(nvml) << reason;
  NvmlHealth lame(std::move(*nvml->find("GPU-0000")));
  const record::DeviceRow row = lame.describe();
  EXPECT_EQ(row.kind, "gpu");
  EXPECT_EQ(row.name, "NVIDIA H200");
  EXPECT_EQ(row.serial, "1650123456789");
  EXPECT_EQ(row.pci_bus, "0000:1b:00.0");
  EXPECT_EQ(row.driver, "580.65.06");
  EXPECT_EQ(row.firmware, "96.00.99.00.01");
  EXPECT_EQ(row.power_limit_w, -1.0);
  EXPECT_THAT(row.missing, HasSubstr("clock_mhz"));
  EXPECT_THAT(row.missing, HasSubstr("(Not Supported)"));
  EXPECT_THAT(row.missing, HasSubstr("xid (not in this driver)"));
  EXPECT_FALSE(lame.read(0).temperature_c);
  fake->reading_code = 0;
  const HealthReading reading = lame.read(0);
  EXPECT_EQ(reading.clock_mhz, 1980.0);
  EXPECT_EQ(reading.ecc_uncorrected, 4);
  EXPECT_FALSE(reading.remap_failed);
}

TEST(MissingText, IsGroupedByReason) {
  EXPECT_EQ(missing_text({}), "");
  EXPECT_EQ(missing_text({{"xid", "no"}, {"power_w", "no"}, {"throttle", "never"}}),
            "throttle (never); power_w, xid (no)");
}

}  // namespace
}  // namespace lockstep::watch
