#include "harness/placement/host_map.hpp"

#include <gmock/gmock.h>

namespace lockstep::placement {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(HostMap, AddressesHaveOneForm) {
  EXPECT_EQ(normal_bus_id("00000000:1B:00.0"), "0000:1b:00.0");
  EXPECT_EQ(normal_bus_id("0000:1B:00.0"), "0000:1b:00.0");
  EXPECT_EQ(normal_bus_id("1b:00.0"), "0000:1b:00.0");
  EXPECT_EQ(normal_bus_id("0001:a0:1f"), "0001:a0:1f.0");
  for (const char* text : {"", "GPU-1", "zz:00.0", "1:2:3:4"})
    EXPECT_EQ(normal_bus_id(text), text);
}

TEST(HostMap, GroupsOfCpus) {
  const std::vector<CpuGroup> groups = {{0, *CpuSet::parse("0-3")}, {2, *CpuSet::parse("4-7")}};
  EXPECT_EQ(groups_of(groups, *CpuSet::parse("1")), "0");
  EXPECT_EQ(groups_of(groups, *CpuSet::parse("3-4")), "0,2");
  EXPECT_EQ(groups_of(groups, *CpuSet::parse("9")), "");
}

TEST(HostMap, CardsWithoutANameAreNotNear) {
  HostMap map;
  map.gpus = {{"0000:01:00.0", *CpuSet::parse("0")}};
  map.nics = {{"0000:02:00.0", {}, {}}, {"0000:03:00.0", {"eth0"}, {}}, {"0000:04:00.0", {"eth1"}, {}}};
  map.nearness = {{Nearness::same_switch, Nearness::same_node, Nearness::same_node}};
  EXPECT_THAT(map.nearest_nics(map.gpus[0]), ElementsAre(1U, 2U));
  map.nearness[0][2] = Nearness::same_bridge;
  EXPECT_THAT(map.nearest_nics(map.gpus[0]), ElementsAre(2U));
  map.nics[1].names.clear();
  map.nics[2].names.clear();
  EXPECT_THAT(map.nearest_nics(map.gpus[0]), IsEmpty());
  EXPECT_EQ(map.gpu("0000:01:00.0"), &map.gpus[0]);
  EXPECT_EQ(map.gpu("0000:09:00.0"), nullptr);
}

}  // namespace
}  // namespace lockstep::placement
