#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "harness/watch/last_words.hpp"
#include "harness/watch/post_mortem.hpp"
#include "tests/watch/synthetic_launch.hpp"

namespace lockstep::watch {
namespace {

using record::Evidence;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using tests::kForever;
using tests::make_launch;
using tests::Planted;
using tests::SyntheticLaunch;
using Verdict = PostMortem::Verdict;
using What = tests::Planted::What;

constexpr std::uint32_t kStep = 12;

Evidence hung(const Planted& planted, SyntheticLaunch launch = {}) {
  launch.planted = {planted};
  return make_launch(launch, 30.0);
}

TEST(PostMortem, NamesTheRankThatNeverCameAndWhatItDid) {
  const Evidence evidence = hung({What::work, kStep, tests::kBackward, {4}, kForever});
  LaunchFacts facts;
  facts.ranks.resize(8);
  facts.ranks[4] = {.kind = RankEndKind::stopped};
  const LaunchView view = view_of(evidence, 0);
  const auto found = post_mortem(view, facts);
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->verdict, Verdict::somebody_missing);
  EXPECT_EQ(found->step, kStep);
  EXPECT_EQ(found->op, static_cast<std::int32_t>(tests::kBucket0));
  EXPECT_THAT(found->missing, ElementsAre(4));
  EXPECT_THAT(found->waiting, ElementsAre(0, 1, 2, 3, 5, 6, 7));
  EXPECT_EQ(found->culprit, "rank 4 on b1");
  EXPECT_GE(found->confidence, 0.95);
  ASSERT_TRUE(found->waited_s.has_value());
  EXPECT_NEAR(*found->waited_s, 30.0, 0.1);
  EXPECT_EQ(
      found->paragraph,
      "step 12, bucket0.all_reduce (all_reduce over data_parallel, between sites): 7 of 8 ranks waited "
      "30.0 s for rank 4 on host b1 (site B), which was last seen computing layer0.backward of step 12; "
      "its process is stopped (state T).");
}

TEST(PostMortem, WithoutUtcNothingIsSaidOfTheTime) {
  const Evidence evidence = hung({What::work, kStep, tests::kBackward, {4}, kForever}, {.utc = false});
  const auto found = post_mortem(view_of(evidence, 0));
  ASSERT_TRUE(found.has_value());
  EXPECT_FALSE(found->waited_s.has_value());
  EXPECT_EQ(found->began_utc_ns, 0);
  EXPECT_THAT(found->paragraph, HasSubstr("ranks waited for rank 4"));
}

TEST(PostMortem, ARankThatDidNotBeginTheStep) {
  const Evidence evidence = hung({What::pause, kStep, 0, {6}, kForever});
  const auto found = post_mortem(view_of(evidence, 0));
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->culprit, "rank 6 on b2");
  EXPECT_THAT(found->paragraph, HasSubstr("had completed step 11 and not begun the next"));
}

TEST(PostMortem, ARankThatSleptBeforeACommunication) {
  const Evidence evidence = hung({What::launch, kStep, tests::kBucket0, {6}, kForever});
  const auto found = post_mortem(view_of(evidence, 0));
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->op, static_cast<std::int32_t>(tests::kBucket0));
  EXPECT_EQ(found->culprit, "rank 6 on b2");
}

TEST(PostMortem, FollowsTheWaitingToItsRoot) {
  // Rank 5 is stuck; its replica's rank 4 waits for it; ranks 0, 2, 6 wait for rank 4.
  const Evidence evidence = hung({What::work, kStep, tests::kForward, {5}, kForever}, {.tensor_parallel = 2});
  const auto found = post_mortem(view_of(evidence, 0));
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->op, static_cast<std::int32_t>(tests::kActivations));
  EXPECT_EQ(found->culprit, "rank 5 on b1");
  EXPECT_THAT(found->waiting, ElementsAre(4));
}

TEST(PostMortem, AWholeHostOrSiteIsNamedAsSuch) {
  const Evidence host = hung({What::work, kStep, tests::kBackward, {2, 3}, kForever});
  EXPECT_EQ(post_mortem(view_of(host, 0))->culprit, "host a2");
  const Evidence site = hung({What::work, kStep, tests::kBackward, {4, 5, 6, 7}, kForever});
  const auto found = post_mortem(view_of(site, 0));
  EXPECT_EQ(found->culprit, "site B");
  EXPECT_THAT(found->paragraph, HasSubstr("ranks 4-7 (site B), of which rank 4 on host b1"));
}

TEST(PostMortem, ManyRanksAreNotAllNamed) {
  std::vector<std::uint32_t> odd;
  for (std::uint32_t rank = 1; rank < 64; rank += 2)
    odd.push_back(rank);
  const Evidence evidence = hung({What::work, kStep, tests::kBackward, odd, kForever},
                                 {.hosts = {{"A", "a1", 32}, {"B", "b1", 32}}});
  const auto found = post_mortem(view_of(evidence, 0));
  EXPECT_THAT(found->paragraph, HasSubstr("and 24 more"));
  EXPECT_LE(found->confidence, 0.6);
}

TEST(PostMortem, NobodyMissingIsTheTransport) {
  const Evidence evidence = hung({What::moving, kStep, tests::kBucket0, {}, kForever});
  const auto found = post_mortem(view_of(evidence, 0));
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->verdict, Verdict::transport);
  EXPECT_EQ(found->culprit, "A - B");
  EXPECT_FALSE(found->link_dead);
  EXPECT_LE(found->confidence, 0.7);
  EXPECT_THAT(found->paragraph, HasSubstr("Nobody was missing"));

  const Evidence inside =
      hung({What::moving, kStep, tests::kActivations, {2}, kForever}, {.tensor_parallel = 2});
  const auto lan = post_mortem(view_of(inside, 0));
  EXPECT_EQ(lan->verdict, Verdict::transport);
  EXPECT_EQ(lan->culprit, "site A");
}

TEST(PostMortem, DeadProbesTellTheLink) {
  SyntheticLaunch launch{.hosts = {{"A", "a1", 2}, {"B", "b1", 2}, {"C", "c1", 2}}};
  Evidence evidence = hung({What::moving, kStep, tests::kBucket0, {}, kForever}, launch);
  for (record::ProbeRow& probe : evidence.probes)
    if (probe.rank == 0 && probe.peer == 4 && probe.begin_ns > 5'000'000'000)
      probe.lost = probe.sent;
  const auto found = post_mortem(view_of(evidence, 0));
  EXPECT_TRUE(found->link_dead);
  EXPECT_EQ(found->culprit, "A - C");
  EXPECT_GE(found->confidence, 0.9);
}

TEST(PostMortem, AStoppedProcessWithinATransferIsTheCause) {
  const Evidence evidence = hung({What::moving, kStep, tests::kBucket0, {}, kForever});
  LaunchFacts facts;
  facts.ranks.resize(8);
  facts.ranks[3] = {.kind = RankEndKind::stopped};
  EXPECT_EQ(post_mortem(view_of(evidence, 0), facts)->culprit, "rank 3 on a2");
}

TEST(PostMortem, ARankThatDoesNotTellOfTheDeadlineWasHeldUpWithinTheTransfer) {
  Evidence evidence = hung({What::moving, kStep, tests::kBucket0, {}, kForever});
  for (std::int32_t rank = 0; rank < 8; ++rank) {
    if (rank == 3)
      continue;
    record::FailureRow failure;
    failure.rank = rank;
    failure.kind = "deadline";
    failure.utc_ns = evidence.leg_ends[0].ended_utc_ns;
    evidence.failures.push_back(failure);
  }
  const auto found = post_mortem(view_of(evidence, 0));
  EXPECT_EQ(found->verdict, Verdict::transport);
  EXPECT_EQ(found->culprit, "rank 3 on a2");
  EXPECT_THAT(found->held_up, ElementsAre(3));
  EXPECT_THAT(found->paragraph, HasSubstr("rank 3 did not"));
  // Others told of the communication; it woke up when all was over, and told of something else.
  for (record::FailureRow& failure : evidence.failures) {
    failure.step = kStep;
    failure.op = tests::kBucket0;
  }
  evidence.failures.push_back(evidence.failures.front());
  evidence.failures.back().rank = 3;
  evidence.failures.back().step = evidence.failures.back().op = -1;
  EXPECT_EQ(post_mortem(view_of(evidence, 0))->culprit, "rank 3 on a2");
  // When all of them tell of it, it is the transport.
  evidence.failures.back().step = kStep;
  evidence.failures.back().op = tests::kBucket0;
  const auto all = post_mortem(view_of(evidence, 0));
  EXPECT_EQ(all->culprit, "A - B");
  EXPECT_THAT(all->held_up, IsEmpty());
}

TEST(PostMortem, NobodyBegan) {
  const Evidence evidence = hung({What::work, kStep, tests::kForward, {}, kForever});
  const auto found = post_mortem(view_of(evidence, 0));
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->verdict, Verdict::nobody_began);
  EXPECT_EQ(found->culprit, "");
  EXPECT_LE(found->confidence, 0.3);
}

TEST(PostMortem, ARankBehindTheOthersIsFoundThoughNoCommunicationOfItsStepIsOpen) {
  // Rank 7 is stuck in the optimizer; the others are through with the step and wait in the next.
  Evidence evidence = hung({What::work, kStep, tests::kUpdate, {7}, kForever});
  // The simulation ends with the step; what the others did next is added here.
  for (std::uint32_t rank = 0; rank < 7; ++rank)
    evidence.comms.push_back({.leg = 0,
                              .rank = rank,
                              .step = kStep + 1,
                              .op = tests::kBucket0,
                              .begin_ns = evidence.steps.back().end_ns + 50'000'000});
  const auto found = post_mortem(view_of(evidence, 0));
  EXPECT_EQ(found->verdict, Verdict::somebody_missing);
  EXPECT_EQ(found->step, kStep + 1);
  EXPECT_EQ(found->culprit, "rank 7 on b2");
  EXPECT_THAT(found->paragraph, HasSubstr("last seen computing adam of step 12"));
}

TEST(PostMortem, ALaunchThatCompletedOrNeverSteppedHasNone) {
  EXPECT_FALSE(post_mortem(view_of(make_launch({}), 0)).has_value());
  Evidence evidence = hung({What::work, 0, tests::kForward, {}, kForever});
  evidence.steps.clear();
  evidence.comms.clear();
  evidence.ops.clear();
  EXPECT_FALSE(post_mortem(view_of(evidence, 0)).has_value());
  EXPECT_FALSE(post_mortem(view_of(evidence, 9)).has_value());
}

TEST(PostMortem, AMissingJournalIsToldAsThat) {
  Evidence evidence = hung({What::work, kStep, tests::kBackward, {4}, kForever});
  evidence.ranks[4].state = "missing";
  const auto of_rank = [](const auto& row) { return row.rank == 4; };
  std::erase_if(evidence.steps, of_rank);
  std::erase_if(evidence.comms, of_rank);
  std::erase_if(evidence.ops, of_rank);
  const auto found = post_mortem(view_of(evidence, 0));
  EXPECT_EQ(found->step, kStep);
  EXPECT_THAT(found->missing, ElementsAre(4));
  EXPECT_THAT(found->paragraph, HasSubstr("which left no journal"));
  EXPECT_EQ(steps_completed(view_of(evidence, 0)), kStep);
}

}  // namespace
}  // namespace lockstep::watch
