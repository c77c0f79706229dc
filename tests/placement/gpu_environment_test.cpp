#include "harness/placement/gpu_environment.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>

#include <gmock/gmock.h>
#include <unistd.h>

namespace lockstep::placement {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

std::vector<InstalledGpu> four_gpus() {
  return {{"0000:01:00.0", "GPU-aaaa-1", "NVIDIA H200"},
          {"0000:02:00.0", "GPU-aabb-2", "NVIDIA H200"},
          {"0000:03:00.0", "GPU-cccc-3", "NVIDIA H200"},
          {"0000:04:00.0", "GPU-dddd-4", "NVIDIA H200"}};
}

std::vector<std::string> seen(const std::optional<std::string>& value) {
  std::vector<std::string> buses;
  int ordinal = 0;
  for (const VisibleGpu& gpu : visible_gpus(four_gpus(), value).gpus) {
    EXPECT_EQ(gpu.ordinal, ordinal++);
    buses.push_back(gpu.bus_id.empty() ? gpu.uuid : gpu.bus_id.substr(5, 2));
  }
  return buses;
}

TEST(VisibleGpus, AllWithoutTheVariable) {
  EXPECT_THAT(seen(std::nullopt), ElementsAre("01", "02", "03", "04"));
}

TEST(VisibleGpus, NumbersInTheOrderWritten) {
  EXPECT_THAT(seen("2,0"), ElementsAre("03", "01"));
  EXPECT_THAT(seen(" 1 , 3 "), ElementsAre("02", "04"));
}

TEST(VisibleGpus, NoneOnPurpose) {
  for (const char* value : {"", " ", "-1"}) {
    EXPECT_THAT(seen(value), IsEmpty()) << value;
    EXPECT_EQ(visible_gpus(four_gpus(), value).problem, "") << value;
  }
}

TEST(VisibleGpus, UuidsByTheirBeginning) {
  EXPECT_THAT(seen("GPU-cccc,GPU-aabb-2"), ElementsAre("03", "02"));
  EXPECT_THAT(seen("MIG-1234,0"), ElementsAre("MIG-1234", "01"));
  const auto old_instance = visible_gpus(four_gpus(), "MIG-GPU-dddd-4/1/0").gpus;
  ASSERT_THAT(old_instance, SizeIs(1));
  EXPECT_EQ(old_instance[0].bus_id, "0000:04:00.0");
  EXPECT_EQ(old_instance[0].uuid, "MIG-GPU-dddd-4/1/0");
}

TEST(VisibleGpus, CudaStopsAtTheFirstThatNamesNothing) {
  struct Case {
    const char* value;
    std::size_t seen;
    const char* problem;
  };
  for (const Case& one : {Case{"0,7,1", 1, "there is no GPU 7"}, Case{"0,-1,1", 1, "neither a number nor"},
                          Case{"GPU-zzzz,0", 0, "no GPU has"}, Case{"GPU-aa", 0, "several UUIDs"},
                          Case{"1,1,2", 1, "named twice"}, Case{"1,GPU-aabb", 1, "named twice"},
                          Case{"0,,1", 1, "neither a number nor"}}) {
    const VisibleGpus visible = visible_gpus(four_gpus(), one.value);
    EXPECT_THAT(visible.gpus, SizeIs(one.seen)) << one.value;
    EXPECT_THAT(visible.problem, HasSubstr(one.problem)) << one.value;
    EXPECT_THAT(visible.problem, HasSubstr(one.value));
  }
}

TEST(FullUuid, WhatIsNotInstalledIsAnInstance) {
  EXPECT_EQ(full_uuid(four_gpus(), "cccc-3"), "GPU-cccc-3");
  EXPECT_EQ(full_uuid(four_gpus(), "9999"), "MIG-9999");
  EXPECT_EQ(full_uuid({}, "9999"), "GPU-9999");
  EXPECT_EQ(full_uuid({}, ""), "");
}

std::vector<VisibleGpu> four_visible() {
  return visible_gpus(four_gpus(), std::nullopt).gpus;
}

TEST(SlurmShare, ItsNumbersHoldWhereCudaSeesAll) {
  GpuEnvironment environment;
  environment.slurm_gpus = "1-2";
  const SlurmShare share = slurm_share(four_visible(), environment);
  ASSERT_THAT(share.gpus, SizeIs(2));
  EXPECT_EQ(share.gpus[0].bus_id, "0000:02:00.0");
  EXPECT_EQ(share.gpus[1].ordinal, 2) << "CUDA's number of it stays";
  EXPECT_THAT(share.note, HasSubstr("1-2 of the host's 4"));
  EXPECT_EQ(share.warning, "");
}

TEST(SlurmShare, SlurmNumbersByBusWhateverCudasOrder) {
  auto visible = four_visible();
  std::reverse(visible.begin(), visible.end());
  GpuEnvironment environment;
  environment.slurm_gpus = "0";
  const SlurmShare share = slurm_share(visible, environment);
  ASSERT_THAT(share.gpus, SizeIs(1));
  EXPECT_EQ(share.gpus[0].bus_id, "0000:01:00.0");
}

TEST(SlurmShare, ChangesNothingWhereCudaWasTold) {
  GpuEnvironment environment;
  environment.slurm_gpus = "0";
  environment.cuda_visible_devices = "0,1,2,3";
  EXPECT_EQ(slurm_share(four_visible(), environment).gpus, four_visible());
  environment.cuda_visible_devices.reset();
  for (const char* numbers : {"0-3", "", "x", "2-9"}) {  // all of them, or what cannot be meant
    environment.slurm_gpus = numbers;
    EXPECT_EQ(slurm_share(four_visible(), environment).gpus, four_visible()) << numbers;
  }
}

TEST(SlurmShare, MoreThanGrantedIsAWarning) {
  GpuEnvironment environment;
  environment.slurm_gpus_on_node = "2";
  EXPECT_THAT(slurm_share(four_visible(), environment).warning,
              HasSubstr("4 GPUs are visible and Slurm granted 2"));
  environment.slurm_gpus_on_node = "4";
  EXPECT_EQ(slurm_share(four_visible(), environment).warning, "");
}

TEST(GpuEnvironment, ReadsTheVariables) {
  const std::map<std::string, const char*> set = {{"CUDA_VISIBLE_DEVICES", ""}, {"SLURM_JOB_GPUS", "0,1"}};
  const auto variable = [&](const char* name) {
    const auto at = set.find(name);
    return at == set.end() ? nullptr : at->second;
  };
  const GpuEnvironment environment = gpu_environment(variable);
  EXPECT_EQ(environment.cuda_visible_devices, "") << "set and empty is not the same as not set";
  EXPECT_EQ(environment.slurm_gpus, "0,1");
  EXPECT_FALSE(environment.slurm_gpus_on_node);
}

/// A folder that is laid out as the driver lays out /proc.
class FakeProc : public ::testing::Test {
 protected:
  FakeProc() { std::filesystem::create_directories(folder_); }
  ~FakeProc() override { std::filesystem::remove_all(folder_); }
  FakeProc(const FakeProc&) = delete;
  FakeProc& operator=(const FakeProc&) = delete;
  void write(const std::string& name, const std::string& text) const {
    std::filesystem::create_directories(std::filesystem::path(folder_ + "/" + name).parent_path());
    std::ofstream(folder_ + "/" + name) << text;
  }
  std::string folder_ = testing::TempDir() + "lockstep-proc-" + std::to_string(::getpid());
};

TEST_F(FakeProc, ListsInstalledGpus) {
  write("gpus/0000:2a:00.0/information",
        "Model: \t\t NVIDIA H200\nIRQ:   \t\t 17\nGPU UUID: \t GPU-2a\nBus Type: \t PCIe\n");
  write("gpus/0000:1B:00.0/information", "Model: \t\t NVIDIA H100 80GB HBM3\nGPU UUID: \t GPU-1b\n");
  EXPECT_THAT(installed_gpus(folder_ + "/gpus"),
              ElementsAre(InstalledGpu{"0000:1b:00.0", "GPU-1b", "NVIDIA H100 80GB HBM3"},
                          InstalledGpu{"0000:2a:00.0", "GPU-2a", "NVIDIA H200"}));
  EXPECT_THAT(installed_gpus(folder_ + "/none"), IsEmpty());
}

TEST_F(FakeProc, ReadsTheDriversVersion) {
  write("version",
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.82.07  Release Build  (root@b) \nGCC "
        "version: gcc 12.2.0\n");
  EXPECT_EQ(nvidia_driver_version(folder_ + "/version"), "580.82.07");
  EXPECT_EQ(nvidia_driver_version(folder_ + "/none"), "");
}

}  // namespace
}  // namespace lockstep::placement
