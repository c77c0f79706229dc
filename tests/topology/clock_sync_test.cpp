#include "harness/topology/clock_sync.hpp"

#include <cstdlib>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "harness/mpi/collect.hpp"

namespace lockstep::topology {
namespace {

ClockSyncOptions test_options() {
  ClockSyncOptions options;
  options.deadline_s = 30.0;
  return options;
}

/// A skew of hours, different on every rank.
std::int64_t skew_of(std::uint32_t rank) {
  return std::int64_t{rank} * 3'600'000'000'123 - 7'000'000'000'000;
}

/// Site by halves, one clock for each rank or one for every two.
ClockTree tree_of(std::uint32_t ranks, std::uint32_t ranks_per_clock) {
  std::vector<SiteId> sites;
  std::vector<std::string> clocks;
  for (std::uint32_t rank = 0; rank < ranks; ++rank) {
    sites.emplace_back(rank < (ranks + 1) / 2 ? 0 : 1);
    clocks.push_back(std::to_string(rank / ranks_per_clock));
  }
  return build_clock_tree(sites, clocks);
}

TEST(ClockSync, FindsAFakedSkewWithinItsBound) {
  const mpi::Communicator world = mpi::Communicator::world();
  const auto self = static_cast<std::uint32_t>(world.rank());
  const std::int64_t skew = skew_of(self);
  const auto now = [skew] { return monotonic_ns() + skew; };
  const ClockTree tree = tree_of(static_cast<std::uint32_t>(world.size()), 1);
  for (int round = 0; round < 3; ++round) {
    const std::int64_t before = now();
    const ClockEstimate estimate = synchronize_clocks(world, tree, now, test_options());
    const std::int64_t truth = skew_of(0) - skew;
    EXPECT_LE(std::llabs(estimate.offset_ns - truth), estimate.bound_ns);
    EXPECT_GE(estimate.local_ns, before);
    EXPECT_LE(estimate.local_ns, now());
    if (self == 0) {
      EXPECT_EQ(estimate.offset_ns, 0);
      EXPECT_EQ(estimate.bound_ns, 0);
    } else {
      EXPECT_GT(estimate.bound_ns, 0);
      // A bound as wide as a scheduler's slice would say nothing; the shortest of 200 is far below it.
      EXPECT_LT(estimate.bound_ns, 5'000'000);
    }
  }
}

TEST(ClockSync, SharedClocksTakeTheirLeadersOffset) {
  const mpi::Communicator world = mpi::Communicator::world();
  const auto self = static_cast<std::uint32_t>(world.rank());
  const ClockTree tree = tree_of(static_cast<std::uint32_t>(world.size()), 2);
  const FastClock clock;
  const ClockEstimate estimate = synchronize_clocks(world, tree, clock, test_options());
  // One machine in truth: every offset is 0.
  EXPECT_LE(std::llabs(estimate.offset_ns), estimate.bound_ns);
  if (tree[self].link == ClockLink::shared && tree[self].parent == RankId(0)) {
    EXPECT_EQ(estimate.offset_ns, 0);
    EXPECT_LT(estimate.bound_ns, 100'000);
  }
}

TEST(ClockSync, AClockWronglyTakenForSharedHasABoundThatCoversIt) {
  const mpi::Communicator world = mpi::Communicator::world();
  const auto self = static_cast<std::uint32_t>(world.rank());
  // Every rank believes in one clock, but reads its own 50 us beside it.
  const std::int64_t skew = std::int64_t{self} * 50'000;
  const ClockTree tree = tree_of(static_cast<std::uint32_t>(world.size()), 1000);
  const ClockEstimate estimate = synchronize_clocks(
      world, tree, [skew] { return monotonic_ns() + skew; }, test_options());
  EXPECT_EQ(estimate.offset_ns, 0);
  EXPECT_GE(estimate.bound_ns, skew);
}

TEST(ClockSync, StopsEarlyWhenAPairTakesTooLong) {
  const mpi::Communicator world = mpi::Communicator::world();
  const std::int64_t skew = skew_of(static_cast<std::uint32_t>(world.rank()));
  const ClockTree tree = tree_of(static_cast<std::uint32_t>(world.size()), 1);
  ClockSyncOptions options = test_options();
  options.exchanges = 100'000'000;  // hours, if it were not cut short
  options.pair_limit_s = 0.02;
  const auto now = [skew] { return monotonic_ns() + skew; };
  const ClockEstimate estimate = synchronize_clocks(world, tree, now, options);
  EXPECT_LE(std::llabs(estimate.offset_ns - (skew_of(0) - skew)), estimate.bound_ns);
}

}  // namespace
}  // namespace lockstep::topology
