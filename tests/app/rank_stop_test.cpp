#include "harness/app/rank_stop.hpp"

#include <csignal>

#include <gtest/gtest.h>

#include "harness/mpi/collect.hpp"

namespace lockstep::app {
namespace {

constexpr double kDeadlineS = 60.0;
constexpr std::int64_t kStepNs = 100'000'000;  // five steps a vote

/// Lets this rank vote until all stop; returns the last step, or `most` when nobody asked.
std::uint32_t vote_until_stopped(std::uint32_t most, std::uint32_t asked_after) {
  const mpi::Communicator world = mpi::Communicator::world();
  StopVote vote(world, kDeadlineS);
  std::uint32_t step = 0;
  for (; step < most; ++step) {
    // Only the last rank is asked, and its steps are the longest.
    const bool is_last = world.rank() == world.size() - 1;
    if (is_last && step == asked_after)
      std::raise(SIGUSR1);
    if (vote.ends_after(step, kStepNs * (step + 1) + (is_last ? 3 * step : 0)))
      break;
  }
  vote.close();
  return step;
}

// These two in this order: a request stays.
TEST(StopVote, LetsRanksRunWhenNobodyAsks) {
  take_stop_requests();
  EXPECT_EQ(vote_until_stopped(23, 1000), 23U);
}

TEST(StopVote, StopsAllRanksBehindTheSameStepThoughOneWasAsked) {
  take_stop_requests();
  const std::uint32_t last = vote_until_stopped(1000, 7);
  EXPECT_GE(last, 7U);
  EXPECT_LE(last, 7U + 2 * 5U) << "the vote under way and the next one";
  const mpi::Communicator world = mpi::Communicator::world();
  const std::int64_t step = last;
  EXPECT_EQ(mpi::all_reduce(world, step, mpi::Reduction::min, kDeadlineS), step);
  EXPECT_EQ(mpi::all_reduce(world, step, mpi::Reduction::max, kDeadlineS), step);
}

TEST(StopVote, HeedsARequestFromBeforeTheFirstStep) {
  EXPECT_LE(vote_until_stopped(1000, 0), 1U);
}

}  // namespace
}  // namespace lockstep::app
