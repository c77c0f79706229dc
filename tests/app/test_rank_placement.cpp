#include <algorithm>

#include <gmock/gmock.h>

#include "harness/app/rank_placement.hpp"
#include "tests/placement/dgx.hpp"
#include "tests/topology/pretended_ranks.hpp"

namespace lockstep::app {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

plan::Plan colocated_plan() {
  plan::Plan plan = topology::two_site_plan();
  plan.placement = plan::Placement::colocated;
  plan.sites[0].slots = 4;
  plan.sites[1].slots = 4;
  return plan;
}

/// Ranks of one machine, site by site.
std::vector<topology::RankCard> cards_of(const std::vector<std::string>& sites) {
  std::vector<topology::RankCard> cards;
  for (const std::string& site : sites) {
    cards.push_back(topology::pretended_card(static_cast<std::uint32_t>(cards.size()), "node", site));
    cards.back().cores = "0-15";
  }
  return cards;
}

placement::LocalRanks ranks_of(const plan::Plan& plan, std::size_t leg,
                               const std::vector<topology::RankCard>& cards, std::uint32_t self) {
  const topology::RankOrder order = topology::order_ranks(plan, plan.legs[leg], cards);
  return local_ranks(plan, plan.legs[leg], order, cards, RankId(self));
}

TEST(LocalRanks, AreThoseOfOneMachine) {
  const plan::Plan plan = topology::two_site_plan();
  const auto cards = topology::pretended_cards({"n1", "n1", "n2", "n2", "s1", "s1"});
  const auto ranks = ranks_of(plan, 0, cards, 3);
  EXPECT_EQ(ranks.self, 1U);
  EXPECT_EQ(ranks.slot, 1U);
  EXPECT_EQ(ranks.slots, 2U);
  ASSERT_THAT(ranks.cpus, SizeIs(2));
  EXPECT_EQ(ranks.cpus[0].text(), "0-1");
}

TEST(LocalRanks, HostsOfOneKernelAreOneMachine) {
  const plan::Plan plan = topology::two_site_plan();
  auto cards = topology::pretended_cards({"n1", "n1", "s1", "s1"});
  for (topology::RankCard& card : cards)
    card.boot_id = "one";
  EXPECT_EQ(ranks_of(plan, 0, cards, 3).slot, 3U);
}

TEST(LocalRanks, SitesOfAColocatedPlanKeepTheirPlacesInEveryLeg) {
  plan::Plan plan = colocated_plan();
  const auto joint = cards_of({"north", "north", "north", "north", "south", "south", "south", "south"});
  const auto alone = cards_of({"south", "south", "south", "south"});
  for (std::uint32_t i = 0; i < 4; ++i) {
    EXPECT_EQ(ranks_of(plan, 0, joint, i).slot, i);
    EXPECT_EQ(ranks_of(plan, 0, joint, 4 + i).slot, 4 + i);
    EXPECT_EQ(ranks_of(plan, 1, alone, i).slot, 4 + i) << "the same GPU as in the joint leg";
    EXPECT_EQ(ranks_of(plan, 1, alone, i).slots, 8U);
  }
  std::swap(plan.legs[0].sites[0], plan.legs[0].sites[1]);
  const auto turned = cards_of({"south", "south", "south", "south", "north", "north", "north", "north"});
  EXPECT_EQ(ranks_of(plan, 0, turned, 1).slot, 5U) << "whatever the order of the leg's sites";
  EXPECT_EQ(ranks_of(plan, 0, turned, 6).slot, 2U);
}

/// A host with eight GPUs, with a driver that shows all of them.
HostSight sight() {
  HostSight sight;
  sight.map = placement::dgx();
  for (int i = 0; i < 8; ++i) {
    const std::string digits = "0000-" + std::to_string(i);
    sight.driver.gpus.push_back({i, placement::dgx_gpu(i), digits, "Fake"});
    sight.installed.push_back({placement::dgx_gpu(i), "GPU-" + digits, "Fake"});
  }
  return sight;
}

std::string fact(const RankPlacement& place, const std::string& key) {
  const auto at = std::find_if(place.facts.begin(), place.facts.end(),
                               [&](const PlacementFact& one) { return one.key == key; });
  return at == place.facts.end() ? "(none)" : at->value;
}

TEST(PlaceRank, PutsOnRecordWhatItChose) {
  placement::LocalRanks ranks;
  ranks.cpus.assign(8, *CpuSet::parse("0-15"));
  ranks.self = ranks.slot = 6;
  ranks.slots = 8;
  const RankPlacement place = place_rank(sight(), ranks);
  ASSERT_TRUE(place.choice.gpu);
  EXPECT_EQ(place.choice.gpu->ordinal, 6);
  EXPECT_EQ(place.gpu_problem, "");
  EXPECT_EQ(fact(place, "placement.gpu"), "6 (" + placement::dgx_gpu(6) + ")");
  EXPECT_EQ(fact(place, "placement.gpu_uuid"), "GPU-0000-6");
  EXPECT_EQ(fact(place, "placement.gpu_cpus"), "8-15");
  EXPECT_EQ(fact(place, "placement.gpu_numa_nodes"), "1");
  EXPECT_EQ(fact(place, "placement.gpu_nics"), "mlx5_6 (same PCI switch)");
  EXPECT_EQ(fact(place, "placement.gpus_visible"), "8");
  EXPECT_EQ(fact(place, "placement.sockets"), "0,1");
}

TEST(PlaceRank, KeepsToSlurmsShare) {
  HostSight given = sight();
  given.environment.slurm_gpus = "4-5";
  placement::LocalRanks ranks;
  ranks.cpus.assign(2, *CpuSet::parse("8-15"));
  ranks.self = ranks.slot = 1;
  ranks.slots = 2;
  const RankPlacement place = place_rank(given, ranks);
  ASSERT_TRUE(place.choice.gpu);
  EXPECT_EQ(place.choice.gpu->ordinal, 5);
  EXPECT_THAT(place.choice.warnings, IsEmpty());
  EXPECT_THAT(fact(place, "placement.gpus_note"), HasSubstr("SLURM_STEP_GPUS"));
  given.environment = {};
  given.environment.slurm_gpus_on_node = "2";
  EXPECT_THAT(place_rank(given, ranks).choice.warnings, Contains(HasSubstr("Slurm granted 2")));
}

TEST(PlaceRank, WithoutADriverTheReasonIsOnRecord) {
  HostSight without = sight();
  without.driver = {"no NVIDIA driver on this machine", {}};
  placement::LocalRanks ranks;
  ranks.cpus = {*CpuSet::parse("0-7")};
  ranks.slots = 1;
  const RankPlacement place = place_rank(without, ranks);
  EXPECT_FALSE(place.choice.gpu);
  EXPECT_EQ(place.gpu_problem, "no NVIDIA driver on this machine");
  EXPECT_EQ(fact(place, "placement.gpu_reason"), place.gpu_problem);
  EXPECT_FALSE(bind_near_gpu(place));
}

TEST(PlaceRank, BindsWhereNobodyDid) {
  const CpuSet before = CpuSet::of_this_thread();
  RankPlacement place;
  place.choice.narrower = CpuSet({*before.numbers().begin()});
  EXPECT_TRUE(bind_near_gpu(place));
  EXPECT_EQ(CpuSet::of_this_thread(), place.choice.narrower);
  place.choice.narrower = before;
  EXPECT_TRUE(bind_near_gpu(place));
  EXPECT_EQ(CpuSet::of_this_thread(), before);
}

}  // namespace
}  // namespace lockstep::app
