#include "harness/placement/read_host.hpp"

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <unistd.h>

#include "harness/core/error.hpp"
#include "tests/placement/dgx.hpp"

namespace lockstep::placement {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;
using ::testing::Not;
using ::testing::SizeIs;

TEST(ReadHost, AServerWithEightGpus) {
  const HostMap map = dgx();
  EXPECT_EQ(map.cpus.text(), "0-15");
  EXPECT_THAT(map.packages,
              ElementsAre(CpuGroup{0, *CpuSet::parse("0-7")}, CpuGroup{1, *CpuSet::parse("8-15")}));
  EXPECT_EQ(map.numa_nodes, map.packages);
  ASSERT_THAT(map.gpus, SizeIs(8));
  for (int i = 0; i < 8; ++i) {
    const Gpu& gpu = map.gpus[static_cast<std::size_t>(i)];
    EXPECT_EQ(gpu.bus_id, dgx_gpu(i));
    EXPECT_EQ(gpu.near.text(), i < 4 ? "0-7" : "8-15") << i;
  }
  ASSERT_THAT(map.nics, SizeIs(9)) << "eight beside GPUs and one for management";
  EXPECT_EQ(map.nics[0].bus_id, "0000:03:00.0");
  EXPECT_THAT(map.nics[0].names, ElementsAre("eth0"));
  EXPECT_THAT(map.nics[8].names, ElementsAre("mlx5_7"));
}

TEST(ReadHost, HowFarFromEachGpuToEachCard) {
  const HostMap map = dgx();
  for (std::size_t gpu = 0; gpu < 8; ++gpu) {
    for (std::size_t nic = 0; nic < 9; ++nic) {
      const bool nic_on_first = nic < 5;  // eth0, then mlx5_0 to mlx5_3
      Nearness expected = nic_on_first == (gpu < 4) ? Nearness::same_node : Nearness::other_package;
      if (nic == gpu + 1)
        expected = Nearness::same_switch;
      EXPECT_EQ(map.nearness[gpu][nic], expected) << "GPU " << gpu << ", card " << nic;
    }
    EXPECT_THAT(map.nearest_nics(map.gpus[gpu]), ElementsAre(gpu + 1));
  }
}

TEST(ReadHost, ADescriptionWithoutDevices) {
  const HostMap map = read_synthetic("pack:2 numa:2 core:4 pu:1");
  EXPECT_EQ(map.cpus.text(), "0-15");
  EXPECT_THAT(map.packages, SizeIs(2));
  EXPECT_THAT(map.numa_nodes, SizeIs(4));
  EXPECT_EQ(groups_of(map.numa_nodes, *CpuSet::parse("3-4")), "0,1");
  EXPECT_THAT(map.gpus, IsEmpty());
}

TEST(ReadHost, WhatCannotBeReadIsAnError) {
  EXPECT_THROW(static_cast<void>(read_xml("no XML")), RunError);
  EXPECT_THROW(static_cast<void>(read_synthetic("socks:2")), RunError);
}

TEST(ReadHost, ThisHostHasTheCpusOfThisThread) {
  const HostMap map = read_this_host();
  const CpuSet own = CpuSet::of_this_thread();
  EXPECT_EQ(map.cpus.common(own), own);
  EXPECT_THAT(map.numa_nodes, Not(IsEmpty()));
  EXPECT_EQ(map.nearness.size(), map.gpus.size());
  EXPECT_THAT(map.nearness, Each(SizeIs(map.nics.size())));
  EXPECT_THAT(hwloc_version(), MatchesRegex("2\\.[0-9]+"));
}

TEST(ReadHost, AFileCanStandForThisHost) {
  const std::string path = testing::TempDir() + "lockstep-dgx-" + std::to_string(::getpid()) + ".xml";
  std::ofstream(path) << DgxXml().text();
  ::setenv("HWLOC_XMLFILE", path.c_str(), 1);
  const HostMap map = read_this_host();
  ::unsetenv("HWLOC_XMLFILE");
  std::filesystem::remove(path);
  EXPECT_THAT(map.gpus, SizeIs(8));
}

}  // namespace
}  // namespace lockstep::placement
