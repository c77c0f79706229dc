#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "harness/campaign/slurm_sites.hpp"
#include "harness/core/error.hpp"
#include "tests/campaign/sample_plan.hpp"

namespace lockstep::campaign {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// Two campuses of two racks each, joined by a switch that is nobody's campus.
const std::vector<Switch> kCampuses = parse_topology(
    "SwitchName=rack1 Level=0 Nodes=a[1-2]\n"
    "SwitchName=rack2 Level=0 Nodes=a[3-4]\n"
    "SwitchName=rack3 Level=0 Nodes=b[1-2]\n"
    "SwitchName=rack4 Level=0 Nodes=b[3-4]\n"
    "SwitchName=north.campus Level=1 Nodes=a[1-4] Switches=rack[1-2]\n"
    "SwitchName=south Level=1 Nodes=b[1-4] Switches=rack[3-4]\n"
    "SwitchName=wan Level=2 Nodes=a[1-4],b[1-4] Switches=north.campus,south\n");

std::vector<HostSlots> job(const std::vector<std::string>& names, std::uint32_t slots = 2) {
  std::vector<HostSlots> hosts;
  for (const std::string& name : names)
    hosts.push_back({name, slots});
  return hosts;
}

template <class Work>
std::string refusal(Work&& work) {
  try {
    work();
  } catch (const InputError& error) {
    return error.what();
  }
  return {};
}

TEST(SitesOfTopology, AreTheHighestSwitchesThatPartTheJob) {
  const auto sites = sites_of_topology(kCampuses, job({"b4", "a1", "a3", "b1"}));
  EXPECT_THAT(sites,
              ElementsAre(plan::Site{"south", {"b4", "b1"}, 2}, plan::Site{"north-campus", {"a1", "a3"}, 2}));
}

TEST(SitesOfTopology, AreRacksWhereTheJobIsInsideOneCampus) {
  const auto sites = sites_of_topology(kCampuses, job({"a1", "a2", "a4"}));
  EXPECT_THAT(sites, ElementsAre(plan::Site{"rack1", {"a1", "a2"}, 2}, plan::Site{"rack2", {"a4"}, 2}));
}

TEST(SitesOfTopology, NeedNoSwitchThatJoinsThem) {
  const auto switches =
      parse_topology("SwitchName=a Nodes=a1\nSwitchName=b Nodes=b1\nSwitchName=c Nodes=c1\n");
  EXPECT_EQ(sites_of_topology(switches, job({"a1", "b1"})).size(), 2U);
}

TEST(SitesOfTopology, RefusesANetworkThatTellsNothing) {
  EXPECT_THAT(refusal([] {
                static_cast<void>(sites_of_topology({}, job({"a1", "b1"})));
              }),
              HasSubstr("no switch"));
  EXPECT_THAT(refusal([] {
                static_cast<void>(sites_of_topology(kCampuses, job({"a1", "a2"})));
              }),
              HasSubstr("does not part this job's hosts"));
  EXPECT_THAT(refusal([] {
                static_cast<void>(sites_of_topology(kCampuses, job({"a1", "b1", "c1"})));
              }),
              HasSubstr("leaves out c1"));
  const auto twice = parse_topology("SwitchName=a Nodes=a[1-2]\nSwitchName=b Nodes=a2,b1\n");
  EXPECT_THAT(refusal([&] {
                static_cast<void>(sites_of_topology(twice, job({"a1", "a2", "b1"})));
              }),
              HasSubstr("host a2 is below two switches"));
  const auto circle = parse_topology("SwitchName=a Nodes=a1 Switches=b\nSwitchName=b Nodes=a1 Switches=a\n");
  EXPECT_THROW(static_cast<void>(sites_of_topology(circle, job({"a1"}))), InputError);
}

TEST(SitesOfTopology, RefusesDifferentTasksInASite) {
  EXPECT_THAT(refusal([] {
                static_cast<void>(sites_of_topology(kCampuses, {{"a1", 2}, {"a2", 1}, {"b1", 2}}));
              }),
              HasSubstr("2 to a1 and 1 to a2"));
}

TEST(OverridesForHosts, NarrowThePlanToTheJob) {
  EXPECT_THAT(overrides_for_hosts(by_host_plan(), {{"gpu-a2", 8}, {"gpu-b1", 4}, {"gpu-b2", 4}}),
              ElementsAre("site.A.hosts=[\"gpu-a2\"]", "site.A.slots=8"))
      << "site B is as the plan says";
  const plan::Plan narrowed = by_host_plan({"site.A.hosts=[\"gpu-a2\"]", "site.A.slots=8"});
  EXPECT_EQ(plan::declared_ranks(narrowed, narrowed.legs.back()), 16U);
}

TEST(OverridesForHosts, LeaveAPlanThatFitsAlone) {
  EXPECT_THAT(overrides_for_hosts(by_host_plan(), job({"gpu-b2", "gpu-b1", "gpu-a1", "gpu-a2"}, 4)),
              IsEmpty());
}

TEST(OverridesForHosts, RefuseHostsWithoutSiteAndSitesWithoutHost) {
  EXPECT_THAT(
      refusal([] {
        static_cast<void>(overrides_for_hosts(by_host_plan(), job({"gpu-a1", "login1", "gpu-b1", "login2"})));
      }),
      HasSubstr("belong to no site of the plan: login1, login2"));
  EXPECT_THAT(refusal([] {
                static_cast<void>(overrides_for_hosts(by_host_plan(), job({"gpu-a1", "gpu-a2"})));
              }),
              HasSubstr("no host of site \"B\""));
  EXPECT_THAT(
      refusal([] {
        static_cast<void>(overrides_for_hosts(by_host_plan(), {{"gpu-a1", 2}, {"gpu-a2", 1}, {"gpu-b1", 2}}));
      }),
      HasSubstr("--ntasks-per-node"));
}

}  // namespace
}  // namespace lockstep::campaign
