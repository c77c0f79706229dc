#include <gtest/gtest.h>

#include "harness/app/rank_wait.hpp"

namespace lockstep::app {
namespace {

CoreShare ranks_sharing(std::size_t ranks, const CpuSet& cpus, int busy_threads) {
  return {cpus, std::vector<CpuSet>(ranks, cpus), busy_threads};
}

TEST(ChooseWait, SpinsWhereEveryThreadHasACore) {
  EXPECT_EQ(choose_wait(plan::Progress::automatic, ranks_sharing(2, CpuSet({0, 1, 2, 3}), 1)).mode,
            step::WaitMode::spin);
  EXPECT_EQ(choose_wait(plan::Progress::automatic, ranks_sharing(2, CpuSet({0, 1, 2}), 1)).mode,
            step::WaitMode::backoff);
}

TEST(ChooseWait, CountsPacedComputeAsNoThread) {
  EXPECT_EQ(choose_wait(plan::Progress::automatic, ranks_sharing(2, CpuSet({0, 1}), 0)).mode,
            step::WaitMode::spin);
  EXPECT_EQ(choose_wait(plan::Progress::automatic, ranks_sharing(4, CpuSet({0, 1}), 0)).mode,
            step::WaitMode::backoff);
}

TEST(ChooseWait, ARankBoundToOneCoreHasNoRoomToSpin) {
  CoreShare bound{CpuSet({0}), {CpuSet({0}), CpuSet({1}), CpuSet({2}), CpuSet({3})}, 1};
  EXPECT_EQ(choose_wait(plan::Progress::automatic, bound).mode, step::WaitMode::backoff);
  EXPECT_FALSE(is_oversubscribed(bound));
}

TEST(ChooseWait, ObeysThePlanAndSaysWhy) {
  const CoreShare crowded = ranks_sharing(8, CpuSet({0}), 1);
  EXPECT_EQ(choose_wait(plan::Progress::spin, crowded).mode, step::WaitMode::spin);
  EXPECT_EQ(choose_wait(plan::Progress::backoff, ranks_sharing(1, CpuSet({0, 1, 2}), 1)).mode,
            step::WaitMode::backoff);
  EXPECT_EQ(choose_wait(plan::Progress::automatic, crowded).reason,
            "8 ranks of 2 threads on 1 cores of this machine, 1 of them for this rank");
}

TEST(IsOversubscribed, WhenComputingThreadsOutnumberCores) {
  EXPECT_FALSE(is_oversubscribed(ranks_sharing(2, CpuSet({0, 1}), 1)));
  EXPECT_TRUE(is_oversubscribed(ranks_sharing(3, CpuSet({0, 1}), 1)));
  EXPECT_FALSE(is_oversubscribed(ranks_sharing(100, CpuSet({0}), 0)));
}

}  // namespace
}  // namespace lockstep::app
