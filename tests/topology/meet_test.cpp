#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "harness/core/error.hpp"
#include "harness/mpi/collect.hpp"
#include "harness/topology/agreement.hpp"
#include "harness/topology/leg_topology.hpp"
#include "tests/topology/pretended_ranks.hpp"

namespace lockstep::topology {
namespace {

constexpr double kDeadlineS = 20.0;

/// All ranks of this test on one machine, the first half (rounded up) in the north.
plan::Plan colocated_plan(std::uint32_t ranks) {
  plan::Plan plan = two_site_plan();
  plan.placement = plan::Placement::colocated;
  plan.sites[0].hosts.clear();
  plan.sites[1].hosts.clear();
  plan.sites[0].slots = (ranks + 1) / 2;
  plan.sites[1].slots = ranks / 2;
  if (ranks == 1)
    plan.legs[0].sites.pop_back();
  return plan;
}

TEST(Meet, OrdersTheRanksOfARealLaunch) {
  const mpi::Communicator world = mpi::Communicator::world();
  const auto ranks = static_cast<std::uint32_t>(world.size());
  plan::Plan plan = colocated_plan(ranks);
  // The leg names the south first, which colocated ranks then fill first.
  std::reverse(plan.legs[0].sites.begin(), plan.legs[0].sites.end());
  const LegTopology topology = meet(world, plan, plan.legs[0], kDeadlineS);
  EXPECT_EQ(topology.leg.size(), world.size());
  EXPECT_EQ(topology.leg.rank(), static_cast<int>(topology.self.value()));
  EXPECT_EQ(topology.own_card().world_rank, static_cast<std::uint32_t>(world.rank()));
  EXPECT_EQ(topology.order.site.front(), plan.legs[0].sites.front());
  for (const RankCard& card : topology.cards)
    EXPECT_EQ(card.binary_hash, topology.own_card().binary_hash);
}

TEST(Meet, EveryRankRefusesAlikeWhenOneReadAnotherPlan) {
  const mpi::Communicator world = mpi::Communicator::world();
  if (world.size() < 2)
    GTEST_SKIP() << "needs a second rank";
  plan::Plan plan = colocated_plan(static_cast<std::uint32_t>(world.size()));
  if (world.rank() == 1)
    plan.text += "\nseed = 2";
  std::string message = "(accepted)";
  try {
    static_cast<void>(meet(world, plan, plan.legs[0], kDeadlineS));
  } catch (const InputError& error) {
    message = error.what();
  }
  EXPECT_THAT(message, testing::HasSubstr("the ranks read different plans"));
  for (const std::string& other : mpi::all_gather_strings(world, message, kDeadlineS))
    EXPECT_EQ(other, message);
}

TEST(Meet, OtherWorldOrdersGiveTheSameLeg) {
  // The same ranks, numbered backwards by the launcher.
  const mpi::Communicator world = mpi::Communicator::world();
  const mpi::Communicator backwards = world.split(0, -world.rank(), kDeadlineS);
  plan::Plan plan = colocated_plan(static_cast<std::uint32_t>(world.size()));
  const LegTopology topology = meet(backwards, plan, plan.legs[0], kDeadlineS);
  EXPECT_EQ(topology.leg.rank(), backwards.rank());
  EXPECT_EQ(topology.clock_tree().size(), static_cast<std::size_t>(world.size()));
}

}  // namespace
}  // namespace lockstep::topology
