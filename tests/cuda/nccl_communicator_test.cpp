#include "harness/cuda/nccl_communicator.hpp"

#include <functional>
#include <mutex>
#include <string>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "harness/core/clock.hpp"
#include "harness/core/units.hpp"
#include "tests/cuda/fake_nccl.hpp"

namespace lockstep::cuda {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using State = NcclCommunicator::State;
using testing::FakeNccl;
using testing::FakeQueue;

constexpr double kShortS = 0.02;
constexpr double kLongS = 20.0;

std::string error_of(const std::function<void()>& work) {
  try {
    work();
  } catch (const NcclError& error) {
    return error.what();
  }
  return "no error";
}

/// For threads that end on their own.
void await(const std::function<bool()>& condition) {
  const std::int64_t deadline_ns = monotonic_ns() + static_cast<std::int64_t>(kLongS * kNsPerS);
  while (!condition() && monotonic_ns() < deadline_ns)
    sleep_until_ns(monotonic_ns() + 1'000'000);
}

TEST(NcclCommunicator, IsMadeWithoutBlockingAndTakesLeaveInOrder) {
  FakeNccl nccl;
  nccl.behaviour.looks = 3;
  const NcclId id = make_nccl_id(nccl.api());
  NcclCommunicator comm(nccl.api(), id, 1, 0, {.most_ctas = 7}, kLongS);
  EXPECT_EQ(comm.rank(), 0);
  EXPECT_EQ(comm.size(), 1);
  EXPECT_EQ(comm.poll(), State::ready);
  EXPECT_EQ(nccl.counts().most_ctas, 7);
  EXPECT_TRUE(comm.finalize(kLongS));
  EXPECT_EQ(nccl.counts().finalized, 1);
  EXPECT_EQ(nccl.counts().destroyed, 1);
  EXPECT_EQ(nccl.counts().aborted, 0);
}

TEST(NcclCommunicator, GivesUpAtTheDeadlineWhenOthersDoNotComeAndAborts) {
  FakeNccl nccl;
  nccl.behaviour.meets = false;
  const NcclId id = make_nccl_id(nccl.api());
  EXPECT_THAT(error_of([&] { NcclCommunicator(nccl.api(), id, 4, 2, {}, kShortS); }),
              AllOf(HasSubstr("ncclCommInitRankConfig did not come to an end within 0.02 s"),
                    HasSubstr("rank 2 of 4")));
  EXPECT_EQ(nccl.counts().aborted, 1);
  EXPECT_EQ(nccl.counts().finalized, 0);
}

TEST(NcclCommunicator, SaysWhatNcclSaysWhenItRefuses) {
  FakeNccl nccl;
  nccl.behaviour.init_code = kNcclInvalidUsage;
  const NcclId id = make_nccl_id(nccl.api());
  EXPECT_THAT(error_of([&] { NcclCommunicator(nccl.api(), id, 2, 0, {}, kLongS); }),
              AllOf(HasSubstr("ncclCommInitRankConfig failed: invalid usage: socket closed"),
                    HasSubstr("give each rank a GPU of its own")));
}

TEST(NcclCommunicator, TellsAnAsynchronousErrorWhileItIsMade) {
  FakeNccl nccl;
  nccl.behaviour.looks = 2;
  nccl.fail_rank(1, kNcclRemoteError);
  const NcclId id = make_nccl_id(nccl.api());
  EXPECT_THAT(error_of([&] { NcclCommunicator(nccl.api(), id, 2, 1, {}, kLongS); }),
              HasSubstr("remote process exited"));
}

TEST(NcclCommunicator, AnAbortThatNeverReturnsIsLeftBehind) {
  const std::uint64_t before = calls_left_behind();
  {
    FakeNccl nccl;
    nccl.behaviour.abort_returns = false;
    const NcclId id = make_nccl_id(nccl.api());
    NcclCommunicator first(nccl.api(), id, 1, 0, {}, kLongS);
    NcclCommunicator second(nccl.api(), make_nccl_id(nccl.api()), 1, 0, {}, kLongS);
    EXPECT_EQ(abort_all({&first, &second}, kShortS), 2U);
    await([&] { return nccl.counts().aborted == 2; });
    EXPECT_EQ(nccl.counts().aborted, 2) << "they do not wait for each other";
    EXPECT_EQ(calls_left_behind(), before + 2);
    EXPECT_EQ(abort_all({&first, &second}, kShortS), 0U) << "there is nothing left to abort";
  }
  await([&] { return calls_left_behind() == before; });  // the fake has let them go
  EXPECT_EQ(calls_left_behind(), before);
}

TEST(NcclCommunicator, AFinalizeThatDoesNotEndBecomesAnAbort) {
  FakeNccl nccl;
  nccl.behaviour.finalize_ends = false;
  NcclCommunicator comm(nccl.api(), make_nccl_id(nccl.api()), 1, 0, {}, kLongS);
  EXPECT_FALSE(comm.finalize(kShortS));
  EXPECT_EQ(nccl.counts().aborted, 1);
  EXPECT_EQ(nccl.counts().destroyed, 0);
}

TEST(NcclCommunicator, AfterAnErrorItTakesNoLeave) {
  FakeNccl nccl;
  NcclCommunicator comm(nccl.api(), make_nccl_id(nccl.api()), 1, 0, {}, kLongS);
  nccl.fail_rank(0, kNcclSystemError);
  EXPECT_EQ(comm.poll(), State::failed);
  EXPECT_THAT(comm.error(), HasSubstr("unhandled system error: socket closed"));
  EXPECT_FALSE(comm.finalize(kLongS));
  EXPECT_EQ(nccl.counts().finalized, 0);
  EXPECT_EQ(nccl.counts().aborted, 1);
}

TEST(NcclCommunicator, MovesItsHandle) {
  FakeNccl nccl;
  {
    NcclCommunicator first(nccl.api(), make_nccl_id(nccl.api()), 1, 0, {}, kLongS);
    NcclCommunicator second = std::move(first);
    EXPECT_EQ(second.poll(), State::ready);
    NcclCommunicator third(nccl.api(), make_nccl_id(nccl.api()), 1, 0, {}, kLongS);
    third = std::move(second);
    EXPECT_EQ(nccl.counts().aborted, 1) << "what it had before";
  }
  EXPECT_EQ(nccl.counts().aborted, 2);
}

class NcclSplit : public ::testing::TestWithParam<bool> {};

TEST_P(NcclSplit, IsReadyTogetherWithItsParent) {
  FakeNccl nccl;
  nccl.behaviour.looks = 2;
  nccl.behaviour.late_handle = GetParam();
  NcclCommunicator all(nccl.api(), make_nccl_id(nccl.api()), 4, 3, {}, kLongS);
  // A second split at once: the parent must be ready for it.
  NcclCommunicator half = all.split(1, 1, 2, 1, {}, kLongS);
  NcclCommunicator alone = all.split(3, 0, 1, 0, {}, kLongS);
  EXPECT_EQ(half.rank(), 1);
  EXPECT_EQ(half.size(), 2);
  EXPECT_EQ(half.poll(), State::ready);
  EXPECT_EQ(alone.poll(), State::ready);
  EXPECT_EQ(nccl.counts().refused, 0);
}
INSTANTIATE_TEST_SUITE_P(HandleAtOnceOrLate, NcclSplit, ::testing::Bool());

TEST(NcclCommunicator, ASplitHasADeadlineToo) {
  FakeNccl nccl;
  NcclCommunicator all(nccl.api(), make_nccl_id(nccl.api()), 4, 3, {}, kLongS);
  nccl.behaviour.meets = false;
  EXPECT_THAT(error_of([&] { static_cast<void>(all.split(0, 1, 2, 1, {}, kShortS)); }),
              HasSubstr("ncclCommSplit did not come to an end within 0.02 s"));
}

TEST(NcclCommunicator, AnOperationIsOnItsStreamOnlyWhenItIsReady) {
  FakeNccl nccl;
  NcclCommunicator comm(nccl.api(), make_nccl_id(nccl.api()), 1, 0, {}, kLongS);
  FakeQueue queue(1);
  nccl.behaviour.looks = 2;
  const float from = 5.0F;
  float to = 0.0F;
  EXPECT_EQ(comm.all_reduce(&from, &to, 1, NcclType::f32, queue.stream()), State::in_progress);
  EXPECT_EQ(comm.poll(), State::in_progress);
  EXPECT_EQ(to, 0.0F);
  EXPECT_EQ(comm.poll(), State::ready);
  queue.mark(0);
  EXPECT_TRUE(queue.reached(0));
  EXPECT_EQ(to, 5.0F);
}

TEST(NcclCommunicator, ARefusedOperationFails) {
  FakeNccl nccl;
  NcclCommunicator comm(nccl.api(), make_nccl_id(nccl.api()), 2, 0, {}, kLongS);
  FakeQueue queue(1);
  nccl.behaviour.call_code = kNcclInvalidArgument;
  float data[2] = {};
  EXPECT_EQ(comm.exchange(&data[0], 1, &data[1], 1, 1, NcclType::f32, queue.stream()), State::failed);
  EXPECT_THAT(comm.error(), HasSubstr("ncclSend and ncclRecv failed: invalid argument"));
  EXPECT_EQ(comm.all_reduce(&data[0], &data[1], 1, NcclType::f32, queue.stream()), State::failed)
      << "for good";
}

TEST(BoundedCall, TellsWhetherItHasReturned) {
  std::mutex gate;
  gate.lock();
  const BoundedCall stuck([&] { const std::lock_guard lock(gate); });
  EXPECT_FALSE(stuck.returned_by(monotonic_ns() + 1'000'000));
  gate.unlock();
  EXPECT_TRUE(stuck.returned_by(monotonic_ns() + static_cast<std::int64_t>(kLongS * kNsPerS)));
}

TEST(NcclLibrary, IsThereOrSaysWhyNot) {
  const NcclLibrary& library = nccl_library();
  EXPECT_EQ(library.api == nullptr, !library.reason.empty());
  EXPECT_EQ(library.api == nullptr, library.path.empty());
  if (library.api == nullptr)
    GTEST_SKIP() << library.reason;
  EXPECT_STREQ(library.api->get_error_string(kNcclInvalidUsage),
               "invalid usage (run with NCCL_DEBUG=WARN for details)");
}

}  // namespace
}  // namespace lockstep::cuda
