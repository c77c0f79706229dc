#include "harness/topology/clock_tree.hpp"

#include <cstdlib>

#include <gtest/gtest.h>

#include "harness/core/hash.hpp"

namespace lockstep::topology {
namespace {

void expect_parent(const ClockTree& tree, std::uint32_t rank, std::uint32_t parent, ClockLink link) {
  EXPECT_EQ(tree[rank].parent, RankId(parent)) << "rank " << rank;
  EXPECT_EQ(tree[rank].link, link) << "rank " << rank;
}

TEST(ClockTree, LeadsFromRankToHostToSiteToRankZero) {
  // Site 0: hosts a a b b; site 1: hosts c c d.
  std::vector<SiteId> sites(4, SiteId(0));
  sites.resize(7, SiteId(1));
  const std::vector<std::string> clocks{"a", "a", "b", "b", "c", "c", "d"};
  const ClockTree tree = build_clock_tree(sites, clocks);
  expect_parent(tree, 0, 0, ClockLink::root);
  expect_parent(tree, 1, 0, ClockLink::shared);
  expect_parent(tree, 2, 0, ClockLink::measured);
  expect_parent(tree, 3, 2, ClockLink::shared);
  expect_parent(tree, 4, 0, ClockLink::measured);
  expect_parent(tree, 5, 4, ClockLink::shared);
  expect_parent(tree, 6, 4, ClockLink::measured);
}

TEST(ClockTree, SitesOnOneMachineShareItsClock) {
  const ClockTree tree = build_clock_tree(std::vector<SiteId>{SiteId(0), SiteId(1), SiteId(2)},
                                          std::vector<std::string>{"m", "m", "m"});
  expect_parent(tree, 1, 0, ClockLink::shared);
  expect_parent(tree, 2, 0, ClockLink::shared);
}

TEST(ClockTree, CrossesOncePerSiteAtTenThousandRanks) {
  std::vector<SiteId> sites;
  std::vector<std::string> clocks;
  for (std::uint32_t rank = 0; rank < 10'000; ++rank) {
    sites.emplace_back(rank / 2500);
    clocks.push_back(std::to_string(rank / 8));
  }
  const ClockTree tree = build_clock_tree(sites, clocks);
  std::uint32_t crossings = 0;
  for (std::uint32_t rank = 0; rank < tree.size(); ++rank) {
    ASSERT_LE(tree[rank].parent.value(), rank);
    if (sites[rank] != sites[tree[rank].parent.value()] && tree[rank].link == ClockLink::measured)
      ++crossings;
    std::uint32_t depth = 0;
    for (std::uint32_t at = rank; at != 0; at = tree[at].parent.value())
      ++depth;
    ASSERT_LE(depth, 3U);
  }
  // The host at each odd boundary has ranks in both sites: one clock still, and no crossing.
  EXPECT_EQ(crossings, 3U);
}

TEST(EstimateOffset, HoldsTheTruthHoweverUnequalTheTwoWays) {
  const std::int64_t truth = -123'456'789;
  for (std::uint64_t i = 0; i < 1000; ++i) {
    const auto there = static_cast<std::int64_t>(mix64(i) % 50'000);
    const auto back = static_cast<std::int64_t>(mix64(i + 5000) % 50'000);
    const std::int64_t sent = 1'000'000 + static_cast<std::int64_t>(i);
    const ClockEstimate estimate = estimate_offset({sent, sent + there + truth, sent + there + back});
    EXPECT_LE(std::llabs(estimate.offset_ns - truth), estimate.bound_ns);
    EXPECT_LE(estimate.bound_ns, (there + back) / 2 + 1);
  }
}

TEST(Compose, AddsOffsetsAndBoundsAlongThePath) {
  // Rank -> host leader -> site leader -> rank 0, all measured at the same instant of rank 0's clock, 10,000.
  const ClockEstimate site{10'000 - 700, 700, 50};
  const ClockEstimate host = compose({10'000 - 700 - 20, 20, 7}, site, kDriftPpm);
  const ClockEstimate rank = compose({10'000 - 700 - 20 + 3, -3, 1}, host, kDriftPpm);
  EXPECT_EQ(host.offset_ns, 720);
  EXPECT_EQ(host.bound_ns, 57);
  EXPECT_EQ(rank.offset_ns, 717);
  EXPECT_EQ(rank.bound_ns, 58);
  EXPECT_EQ(rank.local_ns, 10'000 - 717);
}

TEST(Compose, DriftBetweenTheTwoMeasurementsWidensTheBound) {
  // The parent was measured 2 s before, on its own clock: 20 ppm of that are 40 us.
  const ClockEstimate parent{1'000'000'000, 500, 100};
  const ClockEstimate child = compose({2'999'999'000, 1000, 10}, parent, 20.0);
  EXPECT_EQ(child.offset_ns, 1500);
  EXPECT_EQ(child.bound_ns, 110 + 40'000);
  EXPECT_EQ(compose({2'999'999'000, 1000, 10}, parent, 0.0).bound_ns, 110);
}

}  // namespace
}  // namespace lockstep::topology
