#include "harness/topology/rank_order.hpp"

#include <algorithm>
#include <numeric>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "harness/core/hash.hpp"
#include "tests/topology/pretended_ranks.hpp"

namespace lockstep::topology {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<SiteId> sites_of(const std::string& letters) {
  std::vector<SiteId> sites;
  for (const char letter : letters)
    sites.emplace_back(static_cast<std::uint32_t>(letter - 'a'));
  return sites;
}

TEST(RingCrossings, CountNeighboursInDifferentSites) {
  EXPECT_EQ(ring_crossings(sites_of("")), 0U);
  EXPECT_EQ(ring_crossings(sites_of("a")), 0U);
  EXPECT_EQ(ring_crossings(sites_of("aaaa")), 0U);
  EXPECT_EQ(ring_crossings(sites_of("ab")), 2U);
  EXPECT_EQ(ring_crossings(sites_of("aabb")), 2U);
  EXPECT_EQ(ring_crossings(sites_of("abab")), 4U);
  EXPECT_EQ(ring_crossings(sites_of("abba")), 2U);
  EXPECT_EQ(ring_crossings(sites_of("aabbcc")), 3U);
  EXPECT_EQ(least_ring_crossings(sites_of("abcabc")), 3U);
  EXPECT_EQ(least_ring_crossings(sites_of("abab")), 2U);
  EXPECT_EQ(least_ring_crossings(sites_of("aaa")), 0U);
}

TEST(RankOrder, GoesSiteBySiteHostByHost) {
  const plan::Plan plan = two_site_plan();
  const auto cards = pretended_cards({"s2", "n2", "s2", "n1", "s1", "n2", "n1", "s1"});
  const RankOrder order = order_ranks(plan, plan.legs[0], cards);
  EXPECT_THAT(order.world_rank, ElementsAre(1, 5, 3, 6, 0, 2, 4, 7));
  EXPECT_THAT(order.hosts, ElementsAre("n2", "n1", "s2", "s1"));
  EXPECT_THAT(order.local_rank, ElementsAre(0, 1, 0, 1, 0, 1, 0, 1));
  EXPECT_THAT(order.ranks_per_site, ElementsAre(4, 4));
  EXPECT_EQ(order.site, sites_of("aaaabbbb"));
  EXPECT_EQ(order.leg_rank[0], RankId(4));
  EXPECT_EQ(order.node[3], NodeId(1));
  EXPECT_EQ(order.node[4], NodeId(2));
}

TEST(RankOrder, FollowsTheLegsOrderOfSites) {
  plan::Plan plan = two_site_plan();
  std::reverse(plan.legs[0].sites.begin(), plan.legs[0].sites.end());
  const RankOrder order = order_ranks(plan, plan.legs[0], pretended_cards({"n1", "s1"}));
  EXPECT_THAT(order.world_rank, ElementsAre(1, 0));
  EXPECT_EQ(order.site, sites_of("ba"));
}

TEST(RankOrder, MachinesThatShareANameAreTwoNodes) {
  const plan::Plan plan = two_site_plan();
  auto cards = pretended_cards({"n1", "n1", "n1", "s1"});
  cards[1].boot_id = "another";
  const RankOrder order = order_ranks(plan, plan.legs[0], cards);
  EXPECT_THAT(order.world_rank, ElementsAre(0, 2, 1, 3));
  EXPECT_THAT(order.local_rank, ElementsAre(0, 1, 0, 0));
}

TEST(RankOrder, ColocatedSitesDoNotShareANode) {
  plan::Plan plan = two_site_plan();
  auto cards = pretended_cards({"n", "s"});
  for (RankCard& card : cards) {
    card.host = "machine";
    card.boot_id = "boot";
  }
  const RankOrder order = order_ranks(plan, plan.legs[0], cards);
  EXPECT_THAT(order.hosts, ElementsAre("machine", "machine"));
  EXPECT_THAT(order.local_rank, ElementsAre(0, 0));
}

TEST(RankOrder, HoldsAtTenThousandShuffledRanks) {
  plan::Plan plan = two_site_plan();
  plan.sites.push_back({"west", {}, 1});
  plan.legs[0].sites.emplace_back(2);
  const std::vector<std::string> names{"north", "south", "west"};
  std::vector<RankCard> cards;
  for (std::uint32_t rank = 0; rank < 10'000; ++rank) {
    const auto host = static_cast<std::uint32_t>(mix64(rank) % 1250);
    cards.push_back(pretended_card(rank, "h" + std::to_string(host), names[host % 3]));
  }
  const RankOrder order = order_ranks(plan, plan.legs[0], cards);
  EXPECT_EQ(ring_crossings(order.site), 3U);
  EXPECT_EQ(std::accumulate(order.ranks_per_site.begin(), order.ranks_per_site.end(), 0U), 10'000U);
  EXPECT_TRUE(std::is_sorted(order.node.begin(), order.node.end()));
  std::vector<std::uint32_t> seen(order.world_rank);
  std::sort(seen.begin(), seen.end());
  for (std::uint32_t rank = 0; rank < seen.size(); ++rank) {
    ASSERT_EQ(seen[rank], rank);
    const std::uint32_t world = order.world_rank[rank];
    ASSERT_EQ(order.leg_rank[world], RankId(rank));
    ASSERT_EQ(order.hosts[order.node[rank].value()], cards[world].host);
    ASSERT_EQ(plan.sites[order.site[rank].value()].name, cards[world].site);
    // A node's ranks stay together, in mpirun's order.
    if (rank > 0 && order.node[rank] == order.node[rank - 1]) {
      ASSERT_EQ(order.local_rank[rank], order.local_rank[rank - 1] + 1);
      ASSERT_GT(world, order.world_rank[rank - 1]);
    } else {
      ASSERT_EQ(order.local_rank[rank], 0U);
    }
  }
}

TEST(CrossingWarning, SpeaksOnlyWhenMpirunsOrderCrossesMoreThanNeeded) {
  const plan::Plan plan = two_site_plan();
  EXPECT_EQ(crossing_warning(order_ranks(plan, plan.legs[0], pretended_cards({"n1", "n2", "s1", "s2"}))), "");
  EXPECT_EQ(crossing_warning(order_ranks(plan, plan.legs[0], pretended_cards({"n1", "s1", "s2", "n2"}))), "");
  EXPECT_THAT(crossing_warning(order_ranks(plan, plan.legs[0], pretended_cards({"n1", "s1", "n2", "s2"}))),
              HasSubstr("crosses between sites 4 times around a ring, 2 are enough"));
}

}  // namespace
}  // namespace lockstep::topology
