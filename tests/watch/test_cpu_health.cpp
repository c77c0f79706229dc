#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "harness/watch/cpu_health.hpp"
#include "harness/watch/throttle_bits.hpp"

namespace lockstep::watch {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr std::int64_t kSecond = 1'000'000'000;

/// A host that is only files.
class CpuHealthTest : public testing::Test {
 protected:
  CpuHealthTest() {
    std::string name = std::filesystem::temp_directory_path() / "lockstep-cpu-XXXXXX";
    root_ = ::mkdtemp(name.data());
  }
  ~CpuHealthTest() override { std::filesystem::remove_all(root_); }

  void put(const std::string& file, const std::string& text) {
    std::filesystem::create_directories(std::filesystem::path(root_ + file).parent_path());
    std::ofstream(root_ + file) << text << "\n";
  }
  void put_cpu(int cpu, int khz, int throttles, int milliseconds) {
    const std::string folder = "/sys/devices/system/cpu/cpu" + std::to_string(cpu);
    put(folder + "/cpufreq/scaling_cur_freq", std::to_string(khz));
    put(folder + "/thermal_throttle/core_throttle_count", std::to_string(throttles));
    put(folder + "/thermal_throttle/package_throttle_count", "0");
    put(folder + "/thermal_throttle/package_throttle_total_time_ms", std::to_string(milliseconds));
  }
  void put_host() {
    put("/proc/cpuinfo", "processor\t: 0\nmodel name\t: Some Xeon @ 2.0GHz\nmicrocode\t: 0x2b000603");
    put("/proc/sys/kernel/osrelease", "6.1.0-44");
    put("/sys/class/dmi/id/product_serial", "S4711");
    put_cpu(0, 2'000'000, 3, 40);
    put_cpu(1, 3'000'000, 0, 50);
    put("/sys/devices/system/cpu/cpufreq/boost", "1");  // no CPU
    put("/sys/class/thermal/thermal_zone0/type", "acpitz");
    put("/sys/class/thermal/thermal_zone0/temp", "99000");
    put("/sys/class/thermal/thermal_zone1/type", "x86_pkg_temp");
    put("/sys/class/thermal/thermal_zone1/temp", "61500");
    put("/sys/class/thermal/thermal_zone2/type", "x86_pkg_temp");
    put("/sys/class/thermal/thermal_zone2/temp", "58000");
    for (const char* package : {"0", "1"}) {
      const std::string zone = std::string("/sys/class/powercap/intel-rapl:") + package;
      put(zone + "/name", std::string("package-") + package);
      put(zone + "/energy_uj", "1000000");
      put(zone + "/max_energy_range_uj", "10000000");
    }
    put("/sys/class/powercap/intel-rapl:0:0/name", "dram");
    put("/sys/class/powercap/intel-rapl:0:0/energy_uj", "5");
    put("/sys/devices/system/edac/mc/mc0/ce_count", "5");
    put("/sys/devices/system/edac/mc/mc0/ue_count", "1");
    put("/sys/devices/system/edac/mc/mc1/ce_count", "2");
    put("/sys/devices/system/edac/mc/mc1/ue_count", "0");
  }
  std::string root_;
};

TEST_F(CpuHealthTest, TellsWhatTheHostIs) {
  put_host();
  const record::DeviceRow row = CpuHealth(root_).describe();
  EXPECT_EQ(row.kind, "cpu");
  EXPECT_EQ(row.name, "Some Xeon @ 2.0GHz");
  EXPECT_EQ(row.firmware, "0x2b000603");
  EXPECT_EQ(row.driver, "6.1.0-44");
  EXPECT_EQ(row.serial, "S4711");
  EXPECT_EQ(row.missing, "");
}

TEST_F(CpuHealthTest, ReadsClocksHeatAndMemoryErrors) {
  put_host();
  CpuHealth health(root_);
  const HealthReading reading = health.read(kSecond);
  EXPECT_EQ(reading.clock_mhz, 2500.0);
  EXPECT_EQ(reading.temperature_c, 61.5) << "of the processors, the highest";
  EXPECT_EQ(reading.throttle, 0) << "what was counted before is of no concern";
  EXPECT_EQ(reading.thermal_ns, 50'000'000);
  EXPECT_EQ(reading.ecc_corrected, 7);
  EXPECT_EQ(reading.ecc_uncorrected, 1);
  EXPECT_FALSE(reading.memory_mhz);
  EXPECT_FALSE(reading.xid);
  EXPECT_FALSE(reading.link_errors);
}

TEST_F(CpuHealthTest, ACounterThatRoseIsAThrottle) {
  put_host();
  CpuHealth health(root_);
  put_cpu(0, 1'000'000, 4, 60);
  HealthReading reading = health.read(kSecond);
  EXPECT_EQ(reading.throttle, kThrottleHeatHardware);
  EXPECT_EQ(reading.thermal_ns, 60'000'000);
  reading = health.read(2 * kSecond);
  EXPECT_EQ(reading.throttle, 0) << "and then no more";
}

TEST_F(CpuHealthTest, PowerIsTheMeanSinceTheReadingBefore) {
  put_host();
  CpuHealth health(root_);
  EXPECT_FALSE(health.read(kSecond / 2).power_w) << "there was none before";
  put("/sys/class/powercap/intel-rapl:0/energy_uj", "3000000");
  put("/sys/class/powercap/intel-rapl:1/energy_uj", "2000000");
  EXPECT_NEAR(health.read(kSecond).power_w.value_or(-1.0), (2.0 + 1.0) / 0.5, 1e-9);
  put("/sys/class/powercap/intel-rapl:0/energy_uj", "4000000");
  put("/sys/class/powercap/intel-rapl:1/energy_uj", "1500000");  // began anew: 9.5 J
  EXPECT_NEAR(health.read(3 * kSecond).power_w.value_or(-1.0), (1.0 + 9.5) / 2.0, 1e-9);
}

TEST_F(CpuHealthTest, EnergyThatOnlyRootMayReadIsUnknown) {
  put_host();
  std::filesystem::remove(root_ + "/sys/class/powercap/intel-rapl:0/energy_uj");
  std::filesystem::remove(root_ + "/sys/class/powercap/intel-rapl:1/energy_uj");
  CpuHealth health(root_);
  EXPECT_FALSE(health.read(kSecond).power_w);
  EXPECT_EQ(health.describe().missing, "power_w (not shown here)");
}

TEST_F(CpuHealthTest, SensorsStandInForThermalZones) {
  put("/sys/class/hwmon/hwmon0/name", "nvme");
  put("/sys/class/hwmon/hwmon0/temp1_input", "90000");
  put("/sys/class/hwmon/hwmon3/name", "k10temp");
  put("/sys/class/hwmon/hwmon3/temp1_input", "70250");
  CpuHealth health(root_);
  EXPECT_EQ(health.read(0).temperature_c, 70.25);
}

TEST_F(CpuHealthTest, LargeHostsAreSampled) {
  for (int cpu = 0; cpu < 256; ++cpu)
    put_cpu(cpu, cpu < 128 ? 2'000'000 : 3'000'000, 1, 1);
  CpuHealth health(root_);
  EXPECT_EQ(health.read(0).clock_mhz, 2500.0) << "spread over all";
  for (int cpu = 0; cpu < 256; ++cpu)
    put_cpu(cpu, 1'000'000, 2, 2);
  EXPECT_EQ(health.read(1).clock_mhz, 1000.0);
}

TEST_F(CpuHealthTest, AHostThatShowsNothingIsUnknownAndNotZero) {
  put("/sys/devices/system/edac/mc/mc0/ce_count", "none");
  CpuHealth health(root_);
  const HealthReading reading = health.read(kSecond);
  EXPECT_FALSE(reading.clock_mhz);
  EXPECT_FALSE(reading.temperature_c);
  EXPECT_FALSE(reading.power_w);
  EXPECT_FALSE(reading.throttle);
  EXPECT_FALSE(reading.thermal_ns);
  EXPECT_FALSE(reading.ecc_corrected);
  EXPECT_THAT(health.describe().missing, HasSubstr("throttle"));
  EXPECT_THAT(health.describe().missing, HasSubstr("ecc_corrected"));
}

TEST(ThisMachine, CanBeLookedAt) {
  CpuHealth health;
  static_cast<void>(health.read(kSecond));
  EXPECT_THAT(health.describe().name, Not(HasSubstr("\n")));
}

}  // namespace
}  // namespace lockstep::watch
