#include "harness/cuda/device.hpp"

#include <algorithm>
#include <filesystem>
#include <vector>

#include <gmock/gmock.h>
#include <link.h>

#include "harness/cuda/build_config.hpp"

// Runs against whatever this build has (CUDA or its stub) on whatever this machine has (a GPU, a driver, or
// neither).
namespace lockstep::cuda {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;

bool driver_is_loaded() {
  bool found = false;
  ::dl_iterate_phdr(
      [](dl_phdr_info* info, std::size_t, void* result) {
        if (std::string_view(info->dlpi_name).find("libcuda.so") != std::string_view::npos)
          *static_cast<bool*>(result) = true;
        return 0;
      },
      &found);
  return found;
}

bool machine_has_gpus() {
  return std::filesystem::exists("/dev/nvidia0");
}

// First in the file: no test before it may touch the driver.
TEST(CudaDevice, StartingTheProgramDoesNotNeedTheDriver) {
  EXPECT_FALSE(driver_is_loaded());
}

TEST(CudaDevice, DetectionSaysWhatIsMissing) {
  const Detection found = detect();
  EXPECT_EQ(found.devices.empty(), found.state != DeviceState::ready);
  EXPECT_EQ(found.reason.empty(), found.state == DeviceState::ready);
  EXPECT_EQ(found.state == DeviceState::not_built, !kHasCuda);
  if (kHasCuda && !machine_has_gpus()) {
    EXPECT_THAT(found.state, ::testing::AnyOf(DeviceState::no_driver, DeviceState::no_device))
        << found.reason;
  }
  if (found.state == DeviceState::no_driver) {
    EXPECT_EQ(found.versions.driver, "");
    EXPECT_THAT(found.reason, HasSubstr("driver"));
  }
}

TEST(CudaDevice, VersionsAreThoseOfTheBuild) {
  const LibraryVersions versions = detect().versions;
  EXPECT_THAT(versions.runtime, MatchesRegex(kHasCuda ? "[0-9]+\\.[0-9]+" : ""));
  EXPECT_THAT(versions.cublaslt, MatchesRegex(kHasCublasLt ? "[0-9]+\\.[0-9]+\\.[0-9]+" : ""));
  EXPECT_THAT(versions.nccl, MatchesRegex(kHasNccl ? "2\\.[0-9]+\\.[0-9]+" : ""));
}

TEST(CudaDevice, DetectionCanBeRepeated) {
  const Detection first = detect();
  const Detection second = detect();
  EXPECT_EQ(first.state, second.state);
  EXPECT_EQ(first.reason, second.reason);
  EXPECT_EQ(first.devices.size(), second.devices.size());
}

TEST(CudaDevice, WithoutADeviceAllocationIsACheckedError) {
  if (detect().state == DeviceState::ready)
    GTEST_SKIP() << "this machine has a GPU";
  try {
    const DeviceMemory memory(1024);
    FAIL() << "allocated";
  } catch (const CudaError& error) {
    EXPECT_NE(error.code(), 0);
    EXPECT_THAT(error.what(), HasSubstr("failed"));
    EXPECT_FALSE(error.problem().why.empty());
  }
  EXPECT_THROW(ScopedDevice(0), CudaError);
  EXPECT_EQ(DeviceMemory(0).bytes(), 0U) << "nothing needs no device";
}

TEST(CudaDevice, MemoryHoldsWhatWasCopiedAndMovesItsOwnership) {
  const Detection found = detect();
  if (found.state != DeviceState::ready)
    GTEST_SKIP() << to_string(found.state);
  for (const DeviceInfo& device : found.devices) {
    EXPECT_FALSE(device.name.empty());
    EXPECT_GT(device.memory_bytes, 0U);
    const ScopedDevice current(device.index);
    std::vector<std::byte> sent(4096);
    for (std::size_t i = 0; i < sent.size(); ++i)
      sent[i] = static_cast<std::byte>(i * 7);
    DeviceMemory first(sent.size());
    first.copy_from_host(sent);
    DeviceMemory second = std::move(first);
    EXPECT_EQ(second.bytes(), sent.size());
    std::vector<std::byte> received(sent.size());
    second.copy_to_host(received);
    EXPECT_EQ(received, sent);
  }
}

TEST(CudaDevice, EveryStateHasAName) {
  EXPECT_STREQ(to_string(DeviceState::no_driver), "no driver");
  EXPECT_STREQ(to_string(DeviceState::not_built), "not built");
  EXPECT_STREQ(to_string(DeviceState::ready), "ready");
}

}  // namespace
}  // namespace lockstep::cuda
