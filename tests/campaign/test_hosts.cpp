#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "harness/campaign/hosts.hpp"
#include "harness/core/error.hpp"
#include "tests/campaign/sample_plan.hpp"

namespace lockstep::campaign {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string message_of(const auto& call) {
  try {
    call();
  } catch (const InputError& error) {
    return error.what();
  }
  return "(no error)";
}

TEST(Hostfile, ReadsHostsSlotsAndComments) {
  EXPECT_THAT(parse_hostfile("# rack 1\nn1 slots=4 max_slots=8\n\nn2  # spare\nn1 slots=2\n", "f"),
              ElementsAre(HostSlots{"n1", 6}, HostSlots{"n2", 0}));
}

TEST(Hostfile, RefusesWhatItDoesNotKnowWithFileAndLine) {
  EXPECT_THAT(message_of([] { static_cast<void>(parse_hostfile("n1\nn2 slot=4\n", "my.hosts")); }),
              HasSubstr("my.hosts:2: cannot understand \"slot=4\""));
  EXPECT_THAT(message_of([] { static_cast<void>(parse_hostfile("n1 slots=0\n", "f")); }), HasSubstr("f:1:"));
  EXPECT_THAT(message_of([] { static_cast<void>(parse_hostfile("n1 slots=4x\n", "f")); }), HasSubstr("f:1:"));
  EXPECT_THAT(message_of([] { static_cast<void>(parse_hostfile("# only\n", "f")); }),
              HasSubstr("names no host"));
}

TEST(HostsOfLeg, ListsThePlansHostsSiteBySite) {
  const plan::Plan plan = by_host_plan();
  const auto hosts = hosts_of_leg(plan, plan.legs.back(), {});
  EXPECT_THAT(hosts, ElementsAre(HostSlots{"gpu-a1", 4}, HostSlots{"gpu-a2", 4}, HostSlots{"gpu-b1", 4},
                                 HostSlots{"gpu-b2", 4}));
  EXPECT_EQ(ranks_of_leg(plan, plan.legs.back(), hosts), 16U);
  EXPECT_THAT(ranks_per_site(plan, plan.legs.back(), {}), ElementsAre(8U, 8U));
}

TEST(HostsOfLeg, HostfileSelectsAndSetsSlots) {
  const plan::Plan plan = by_host_plan();
  const std::vector<HostSlots> file{{"gpu-b2", 2}, {"gpu-a2", 0}, {"elsewhere", 9}};
  EXPECT_THAT(hosts_of_leg(plan, plan.legs.back(), file),
              ElementsAre(HostSlots{"gpu-a2", 4}, HostSlots{"gpu-b2", 2}));
  EXPECT_THAT(hosts_of_leg(plan, plan.legs.front(), file), ElementsAre(HostSlots{"gpu-a2", 4}));
  EXPECT_THAT(ranks_per_site(plan, plan.legs.back(), file), ElementsAre(4U, 2U));
}

TEST(HostsOfLeg, RefusesAHostfileWithoutAHostOfTheSite) {
  const plan::Plan plan = by_host_plan();
  EXPECT_THAT(message_of([&] {
                static_cast<void>(hosts_of_leg(plan, plan.legs.back(), {{"gpu-a1", 4}}));
              }),
              HasSubstr("the hostfile has no host of site \"B\""));
}

TEST(HostsOfLeg, NetworksNeedAHostfile) {
  const plan::Plan plan = by_host_plan({"site.A.hosts=[\"127.0.0.0/8\"]"});
  EXPECT_THAT(message_of([&] { static_cast<void>(hosts_of_leg(plan, plan.legs.front(), {})); }),
              HasSubstr("--hostfile"));
  EXPECT_THAT(hosts_of_leg(plan, plan.legs.front(), {{"127.0.0.1", 3}}),
              ElementsAre(HostSlots{"127.0.0.1", 3}));
}

TEST(HostsOfLeg, ColocatedSitesHaveRanksAndNoHosts) {
  const plan::Plan plan = colocated_plan();
  EXPECT_TRUE(hosts_of_leg(plan, plan.legs.back(), {}).empty());
  EXPECT_EQ(ranks_of_leg(plan, plan.legs.back(), {}), 4U);
  EXPECT_THAT(ranks_per_site(plan, plan.legs.back(), {}), ElementsAre(2U, 2U));
}

}  // namespace
}  // namespace lockstep::campaign
