#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "harness/watch/launch_view.hpp"
#include "harness/watch/names.hpp"
#include "tests/watch/synthetic_launch.hpp"

namespace lockstep::watch {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using tests::make_launch;
using tests::SyntheticLaunch;

TEST(LaunchView, SortsOneLaunchAndLeavesOthersOut) {
  record::Evidence evidence = make_launch({});
  std::reverse(evidence.steps.begin(), evidence.steps.end());
  record::StepRow other = evidence.steps.front();
  other.leg = 7;
  evidence.steps.push_back(other);
  const LaunchView view = view_of(evidence, 0);
  ASSERT_NE(view.leg, nullptr);
  EXPECT_EQ(view.steps.size(), 42U * 8U);
  const auto rows = view.steps_of(5);
  ASSERT_EQ(rows.size(), 8U);
  for (std::uint32_t rank = 0; rank < 8; ++rank) {
    EXPECT_EQ(rows[rank]->rank, rank);
    EXPECT_EQ(rows[rank]->step, 5U);
  }
  EXPECT_THAT(view.steps_of(99), IsEmpty());
  EXPECT_EQ(view.comms_of(5).size(), 3U * 8U);
  EXPECT_EQ(view.host_of(4), "b1");
  EXPECT_THAT(view.sites(), ElementsAre("A", "B"));
  EXPECT_EQ(views_of(evidence).size(), 1U);
}

TEST(LaunchView, ALaunchThatIsNotThereIsEmpty) {
  const record::Evidence evidence = make_launch({});
  EXPECT_EQ(view_of(evidence, 3).leg, nullptr);
}

TEST(LaunchView, RowsOfRanksBeyondTheLaunchAreLeftOut) {
  record::Evidence evidence = make_launch({});
  evidence.comms.front().rank = 4'000'000'000U;
  evidence.ranks.front().rank = 8;
  const LaunchView view = view_of(evidence, 0);
  EXPECT_EQ(view.comms.size(), 42U * 3U * 8U - 1U);
  EXPECT_EQ(view.ranks[0], nullptr);
  EXPECT_EQ(view.host_of(0), "");
}

TEST(LaunchView, WaitingTimesTellWhoCommunicatesWithWhom) {
  const record::Evidence evidence = make_launch({.tensor_parallel = 2});
  const LaunchView view = view_of(evidence, 0);
  EXPECT_THAT(view.part_of(tests::kActivations, 3), ElementsAre(2, 3));
  EXPECT_THAT(view.part_of(tests::kBucket0, 3), ElementsAre(1, 3, 5, 7));
  EXPECT_THAT(view.part_of(tests::kForward, 3), IsEmpty());
}

TEST(LaunchView, PartsNeedNotBeConsecutive) {
  record::Evidence evidence = make_launch({.tensor_parallel = 2});
  for (record::CommRow& row : evidence.comms) {
    if (row.rank == 1 || row.rank == 2)
      row.rank = 3 - row.rank;
  }
  const LaunchView view = view_of(evidence, 0);
  EXPECT_THAT(view.part_of(tests::kActivations, 3), ElementsAre(1, 3));
  EXPECT_THAT(view.part_of(tests::kBucket0, 3), ElementsAre(2, 3, 5, 7));
}

TEST(LaunchView, TimesThatAreEqualEverywhereTellNothing) {
  record::Evidence evidence = make_launch({.tensor_parallel = 2});
  for (record::CommRow& row : evidence.comms)
    row.wait_ns = row.end_ns - row.begin_ns - 1'000'000;
  const LaunchView view = view_of(evidence, 0);
  EXPECT_THAT(view.part_of(tests::kActivations, 3), ElementsAre(2, 3));
}

TEST(LaunchView, WithoutAWholeStepTheLayoutOfReplicasTells) {
  record::Evidence evidence = make_launch({.tensor_parallel = 2});
  evidence.comms.clear();
  const LaunchView view = view_of(evidence, 0);
  EXPECT_THAT(view.part_of(tests::kActivations, 3), ElementsAre(2, 3));
  EXPECT_THAT(view.part_of(tests::kBucket0, 3), ElementsAre(1, 3, 5, 7));
}

TEST(LaunchView, AHostsClockIsTiedToUtc) {
  const record::Evidence evidence = make_launch({});
  const LaunchView view = view_of(evidence, 0);
  const record::StepRow& row = *view.steps.back();  // of the last rank, on the last host
  const auto utc = view.to_utc_ns(row.rank, row.begin_ns);
  ASSERT_TRUE(utc.has_value());
  EXPECT_GT(*utc, tests::kSyntheticUtcNs);
  EXPECT_LT(*utc, tests::kSyntheticUtcNs + 60'000'000'000);
  const record::Evidence untied = make_launch({.utc = false});
  EXPECT_FALSE(view_of(untied, 0).to_utc_ns(0, 1).has_value());
}

TEST(Names, RanksAreNamedAsWhatTheyAreAllOf) {
  const record::Evidence evidence = make_launch({});
  const LaunchView view = view_of(evidence, 0);
  const auto name = [&view](std::vector<std::uint32_t> ranks, bool whole_hosts = false) {
    return place_of(view, ranks, whole_hosts).name;
  };
  EXPECT_EQ(name({4}), "rank 4 on b1");
  EXPECT_EQ(name({4, 5}), "host b1");
  EXPECT_EQ(name({4, 5, 6}), "ranks 4-6");
  EXPECT_EQ(name({4, 5, 6, 7}), "site B");
  EXPECT_EQ(name({1, 4}), "ranks 1, 4");
  EXPECT_EQ(place_of(view, std::vector<std::uint32_t>{0, 1, 2, 3, 4, 5, 6, 7}).scope, Scope::all);
  const record::Evidence single = make_launch({.hosts = {{"A", "a1", 1}, {"B", "b1", 1}}});
  const LaunchView thin = view_of(single, 0);
  EXPECT_EQ(place_of(thin, std::vector<std::uint32_t>{1}).name, "rank 1 on b1");
  EXPECT_EQ(place_of(thin, std::vector<std::uint32_t>{1}, true).name, "host b1");
  const record::Evidence colocated = make_launch({.hosts = {{"A", "n1", 2}, {"B", "n1", 2}}});
  const LaunchView together = view_of(colocated, 0);
  EXPECT_EQ(place_of(together, std::vector<std::uint32_t>{2, 3}).name, "site B");
}

TEST(Names, LongListsAreCutShort) {
  std::vector<std::uint32_t> odd;
  for (std::uint32_t rank = 1; rank < 60; rank += 2)
    odd.push_back(rank);
  EXPECT_EQ(rank_list(odd), "ranks 1, 3, 5, 7, 9, 11, 13, 15 and 22 more");
  EXPECT_EQ(rank_list(std::vector<std::uint32_t>{0, 1, 5, 6, 7}), "ranks 0, 1, 5-7");
  EXPECT_EQ(shortened("ab\xc3\xa4yzw", 6), "ab...");
  EXPECT_EQ(shortened("abc", 6), "abc");
}

}  // namespace
}  // namespace lockstep::watch
