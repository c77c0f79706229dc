#include "harness/fabric/nccl_setup.hpp"

#include <cstdlib>
#include <memory>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "harness/core/error.hpp"
#include "tests/cuda/fake_nccl.hpp"
#include "tests/fabric/fabric_fixture.hpp"
#include "tests/fabric/fake_device.hpp"

// The meeting goes through real MPI; each rank has an NCCL of the tests' own, which lets nobody else take
// part in an operation: only the meeting is looked at.
namespace lockstep::fabric {
namespace {

using cuda::testing::FakeNccl;
using cuda::testing::FakeQueue;
using step::CommKind;
using step::Dtype;
using testing::AllOf;
using testing::HasSubstr;

std::unique_ptr<cuda::Queue> fake_queue(std::size_t marks) {
  return std::make_unique<FakeQueue>(marks);
}

class NcclSetup : public testing::Test {
 protected:
  NcclSetup() : graph_(mpi::Communicator::world().size()) {
    graph_.add(CommKind::all_reduce, CommGraph::kWorld, Dtype::f32, 8, 1);
    graph_.add(CommKind::all_reduce, CommGraph::kParity, Dtype::f32, 8, 1);
    nccl_.behaviour.looks = 2;
  }
  [[nodiscard]] NcclNeeds needs() {
    NcclNeeds made{.graph = graph_.graph(), .leg = world_, .memory = memory_};
    made.api = &nccl_.api();
    made.gpu = [this] { return "machine, GPU " + std::to_string(world_.rank()); };
    made.make_queue = fake_queue;
    made.deadline_s = kTestDeadlineS;
    return made;
  }
  /// The error that it ends with, with its kind before it.
  static std::string error_of(const NcclNeeds& needs) {
    try {
      static_cast<void>(meet_in_nccl(needs));
    } catch (const InputError& error) {
      return std::string("input: ") + error.what();
    } catch (const RunError& error) {
      return std::string("run: ") + error.what();
    }
    return "no error";
  }

  mpi::Communicator world_ = mpi::Communicator::world();
  CommGraph graph_;
  FakeNccl nccl_;
  FakeDeviceMemory memory_;
};

TEST_F(NcclSetup, MakesACommunicatorOfAllAndOneOfEachGroup) {
  NcclNeeds wanted = needs();
  wanted.settings.most_ctas = 5;
  const auto fabric = meet_in_nccl(wanted);
  EXPECT_EQ(fabric->name(), "nccl");
  EXPECT_EQ(nccl_.counts().made, 3);
  EXPECT_EQ(nccl_.counts().most_ctas, 5);
  EXPECT_EQ(nccl_.counts().refused, 0);
}

TEST_F(NcclSetup, MakesNoneForAGroupThatNobodyUses) {
  CommGraph graph(world_.size());
  graph.add(CommKind::all_reduce, CommGraph::kWorld, Dtype::f32, 8, 1);
  NcclNeeds wanted{.graph = graph.graph(), .leg = world_, .memory = memory_};
  wanted.api = &nccl_.api();
  wanted.gpu = needs().gpu;
  wanted.make_queue = fake_queue;
  wanted.deadline_s = kTestDeadlineS;
  static_cast<void>(meet_in_nccl(wanted));
  EXPECT_EQ(nccl_.counts().made, 2);
}

TEST_F(NcclSetup, WhatIsMissingOnOneRankIsSaidByAll) {
  NcclNeeds wanted = needs();
  const int last = world_.size() - 1;
  if (world_.rank() == last) {
    wanted.api = nullptr;
    wanted.no_api_reason = "libnccl.so.2 is not there";
  }
  EXPECT_THAT(error_of(wanted), AllOf(HasSubstr("input: "), HasSubstr("libnccl.so.2 is not there"),
                                      HasSubstr("[rank " + std::to_string(last) + "]")));
  EXPECT_EQ(nccl_.counts().made, 0);
}

TEST_F(NcclSetup, AnObstacleIsRefused) {
  NcclNeeds wanted = needs();
  wanted.obstacle = "NCCL_COMM_BLOCKING=1 is set";
  EXPECT_THAT(error_of(wanted), HasSubstr("input: NCCL_COMM_BLOCKING=1 is set"));
}

TEST_F(NcclSetup, ARankWithoutAGpuIsAnErrorOfAll) {
  NcclNeeds wanted = needs();
  if (world_.rank() == 0)
    wanted.gpu = []() -> std::string {
      throw RunError({.what = "cudaGetDevice failed", .why = {}, .suggestion = {}, .file = {}});
    };
  EXPECT_THAT(error_of(wanted), HasSubstr("run: cudaGetDevice failed [rank 0]"));
}

TEST_F(NcclSetup, ASharedGpuIsRefusedOrMadeToLookLikeTwoHosts) {
  if (world_.size() < 2)
    GTEST_SKIP() << "needs two ranks";
  NcclNeeds wanted = needs();
  wanted.gpu = [] { return "machine 0000:1b:00.0"; };
  EXPECT_THAT(error_of(wanted),
              AllOf(HasSubstr("input: ranks 0 and 1 are on the same GPU, machine 0000:1b:00.0"),
                    HasSubstr("fabric.share_gpu = true")));
  EXPECT_EQ(nccl_.counts().made, 0);
  wanted.share_gpu = true;
  EXPECT_EQ(error_of(wanted), "no error");
  EXPECT_EQ(std::getenv("NCCL_HOSTID"), "lockstep-rank-" + std::to_string(world_.rank()));
  ::unsetenv("NCCL_HOSTID");
}

TEST_F(NcclSetup, AFailureOfOneRankEndsTheMeetingForAll) {
  const int last = world_.size() - 1;
  if (world_.rank() == last)
    nccl_.behaviour.init_code = cuda::kNcclSystemError;
  EXPECT_THAT(error_of(needs()),
              AllOf(HasSubstr("run: ncclCommInitRankConfig failed: unhandled system error"),
                    HasSubstr("[rank " + std::to_string(last) + "]")));
  EXPECT_EQ(nccl_.counts().aborted, world_.rank() == last ? 0 : 1) << "what had been made is let go";
}

TEST_F(NcclSetup, AMeetingThatDoesNotEndIsGivenUp) {
  nccl_.behaviour.meets = false;
  NcclNeeds wanted = needs();
  wanted.deadline_s = 0.1;
  EXPECT_THAT(error_of(wanted), AllOf(HasSubstr("run: "), HasSubstr("did not come to an end within 0.1 s")));
  EXPECT_EQ(nccl_.counts().aborted, 1);
}

TEST(SharedGpus, NamesTheFirstTwo) {
  EXPECT_EQ(shared_gpus({"m1 a", "m1 b", "m2 a"}), "");
  EXPECT_EQ(shared_gpus({"m1 a", "m1 b", "m1 c", "m1 b"}), "ranks 1 and 3 are on the same GPU, m1 b");
}

}  // namespace
}  // namespace lockstep::fabric
