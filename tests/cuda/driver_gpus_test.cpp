#include "harness/cuda/driver_gpus.hpp"

#include <cstdlib>
#include <filesystem>

#include <gmock/gmock.h>

namespace lockstep::cuda {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class DriverGpusTest : public ::testing::Test {
 protected:
  void TearDown() override {
    for (const char* name : {"FAKE_CUDA_GPUS", "FAKE_CUDA_INIT", "FAKE_CUDA_BROKEN"})
      ::unsetenv(name);
  }
};

TEST_F(DriverGpusTest, ListsWhatTheDriverShows) {
  const DriverGpus found = driver_gpus(LOCKSTEP_FAKE_DRIVER);
  EXPECT_EQ(found.reason, "");
  ASSERT_THAT(found.gpus, SizeIs(3));
  EXPECT_EQ(found.gpus[2].ordinal, 2);
  EXPECT_EQ(found.gpus[2].bus_id, "0000:1C:00.0");
  EXPECT_EQ(found.gpus[2].uuid, "02020202-0202-0202-0202-0202020202fe");
  EXPECT_EQ(found.gpus[2].name, "Fake 2");
}

TEST_F(DriverGpusTest, OldDriversTellNoUuid) {
  const DriverGpus found = driver_gpus(LOCKSTEP_FAKE_OLD_DRIVER);
  ASSERT_THAT(found.gpus, SizeIs(3));
  EXPECT_EQ(found.gpus[0].uuid, "");
  EXPECT_EQ(found.gpus[0].bus_id, "0000:1A:00.0");
}

TEST_F(DriverGpusTest, SaysWhyThereIsNone) {
  EXPECT_THAT(driver_gpus("libno-such-driver.so.1").reason, HasSubstr("no NVIDIA driver"));
  EXPECT_THAT(driver_gpus("libm.so.6").reason, HasSubstr("is no NVIDIA driver"));
  ::setenv("FAKE_CUDA_GPUS", "0", 1);
  EXPECT_THAT(driver_gpus(LOCKSTEP_FAKE_DRIVER).reason, HasSubstr("shows no GPU"));
  ::setenv("FAKE_CUDA_INIT", "100", 1);
  EXPECT_THAT(driver_gpus(LOCKSTEP_FAKE_DRIVER).reason, HasSubstr("shows no GPU"));
  ::setenv("FAKE_CUDA_INIT", "803", 1);
  EXPECT_THAT(driver_gpus(LOCKSTEP_FAKE_DRIVER).reason, HasSubstr("cuInit: 803"));
}

TEST_F(DriverGpusTest, AGpuThatCannotBeDescribedIsNotPassedOverInSilence) {
  ::setenv("FAKE_CUDA_BROKEN", "1", 1);
  const DriverGpus found = driver_gpus(LOCKSTEP_FAKE_DRIVER);
  EXPECT_THAT(found.gpus, IsEmpty()) << "the ranks of a host would take different ones";
  EXPECT_THAT(found.reason, HasSubstr("cuDeviceGetPCIBusId: CUDA_ERROR_UNKNOWN"));
}

TEST_F(DriverGpusTest, ThisMachineAnswersOneWayOrTheOther) {
  const DriverGpus found = driver_gpus();
  EXPECT_EQ(found.gpus.empty(), !found.reason.empty());
  if (std::filesystem::exists("/dev/nvidia0")) {
    EXPECT_EQ(found.reason, "");
  }
}

}  // namespace
}  // namespace lockstep::cuda
