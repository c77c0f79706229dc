// Fails on rank 1 and there alone: proof that the test main does not hide it.

#include <gtest/gtest.h>

#include "harness/mpi/communicator.hpp"

namespace {

TEST(MpiMain, PassesOnEveryRank) {
  SUCCEED();
}

TEST(MpiMain, FailsOnRankOne) {
  EXPECT_NE(lockstep::mpi::Communicator::world().rank(), 1);
}

}  // namespace
