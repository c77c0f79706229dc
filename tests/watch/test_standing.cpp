#include <vector>

#include <gtest/gtest.h>

#include "harness/watch/standing.hpp"

namespace lockstep::watch {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;

/// Rank 1 of four with the ops gemm, reduce (all four), update, tail (ranks 0 and 1).
class StandingTest : public testing::Test {
 protected:
  StandingTest() {
    meta_.rank.rank = 1;
    const auto add = [this](const std::string& name, const std::string& group) {
      record::GraphRow row;
      row.op = static_cast<std::uint32_t>(meta_.graph.size());
      row.name = name;
      row.stream = group.empty() ? "compute" : "communication";
      row.group = group;
      meta_.graph.push_back(row);
    };
    add("gemm", "");
    add("reduce", "world");
    add("update", "");
    add("tail", "pair");
    meta_.parts = {{"world", {0, 1, 2, 3}}, {"pair", {0, 1}}};
    recording_.steps[7] = {.step = 7, .begin_ns = kSecond};
  }
  [[nodiscard]] Standing stands(std::uint32_t step = 7) {
    return where_it_stands(meta_, {ops_, comms_, recording_.steps, 4, 2, 2}, step);
  }
  [[nodiscard]] std::string told(std::int64_t now_ns) { return describe(stands(), now_ns); }
  void op(std::uint32_t op, std::int64_t begin_ns, std::int64_t end_ns, std::uint32_t step = 7) {
    ops_[(step % 2) * 4 + op] = {step, op, begin_ns, end_ns};
  }
  void comm(std::uint32_t index, std::int64_t begin_ns, std::int64_t end_ns) {
    comms_[7 * 2 + index] = {7, index == 0 ? 1U : 3U, begin_ns, end_ns, 0};
  }

  record::RankMeta meta_;
  std::vector<step::OpStamp> ops_ = std::vector<step::OpStamp>(8);
  std::vector<step::CommStamp> comms_ = std::vector<step::CommStamp>(20);
  struct {
    std::vector<step::StepStamp> steps = std::vector<step::StepStamp>(10);
  } recording_;
};

TEST_F(StandingTest, NamesTheOpThatComputes) {
  op(0, 2 * kSecond, 0);
  EXPECT_EQ(stands().op(), 0U);
  EXPECT_EQ(told(33 * kSecond), "step 7: computing gemm for 31.0 s");
}

TEST_F(StandingTest, NamesTheRanksThatACommunicationWaitsFor) {
  op(0, 2 * kSecond, 3 * kSecond);
  comm(0, 3 * kSecond, 0);
  EXPECT_EQ(stands().op(), 1U);
  EXPECT_EQ(told(8 * kSecond), "step 7: waiting in reduce for 5.0 s, for ranks 0, 2-3");
}

TEST_F(StandingTest, TheOneSinceLongestComesFirst) {
  comm(0, 3 * kSecond, 0);
  comm(1, 2 * kSecond, 0);
  op(2, 4 * kSecond, 0);
  EXPECT_EQ(stands().op(), 3U);
  EXPECT_EQ(told(5 * kSecond),
            "step 7: waiting in tail for 3.0 s, for rank 0; waiting in reduce for 2.0 s, for ranks 0, 2-3; "
            "computing update for 1.0 s");
}

TEST_F(StandingTest, TellsWhatItHasNotEntered) {
  op(0, 2 * kSecond, 3 * kSecond);
  comm(0, 3 * kSecond, 4 * kSecond);
  EXPECT_EQ(stands().op(), 3U);
  EXPECT_EQ(told(11 * kSecond), "step 7: between ops, 10.0 s after its begin; has not entered tail");
}

TEST_F(StandingTest, StampsOfAnEarlierStepInTheSameSlotDoNotCount) {
  op(0, 2 * kSecond, 0, 5);
  comm(0, 3 * kSecond, 0);
  EXPECT_FALSE(stands().computing);
  EXPECT_EQ(stands().op(), 1U);
}

TEST_F(StandingTest, AStepThatWasNotBegunHasNothingUnderWay) {
  EXPECT_EQ(describe(stands(8), kSecond), "before step 8");
  EXPECT_EQ(describe(stands(10), kSecond), "before step 10") << "nor one that there is no room for";
  EXPECT_FALSE(stands(8).op());
}

TEST_F(StandingTest, ACompleteStepHasNothingUnderWay) {
  recording_.steps[7].end_ns = 2 * kSecond;
  EXPECT_EQ(told(3 * kSecond), "after step 7");
  EXPECT_FALSE(stands().op());
}

TEST_F(StandingTest, ManyRanksAreNamedShortly) {
  std::vector<std::uint32_t> odd(100);
  for (std::uint32_t i = 0; i < 100; ++i)
    odd[i] = 2 * i + 1;
  meta_.parts["world"] = odd;
  comm(0, 3 * kSecond, 0);
  EXPECT_EQ(told(3 * kSecond).substr(0, 58), "step 7: waiting in reduce for 0.0 s, for ranks 3, 5, 7, 9,");
  EXPECT_NE(told(3 * kSecond).find("33, and 83 more"), std::string::npos) << told(3 * kSecond);
}

TEST(WhoHoldsUp, NamesWhoNeverEnteredTheFirstCommunicationThatSomebodyWaitsIn) {
  const OpUnderWay reduce{1, "reduce", kSecond, {1, 2}};
  const OpUnderWay tail{3, "tail", kSecond, {2}};
  std::vector<RankStanding> ranks{{0, "a1", {.step = 7, .begun_ns = kSecond, .waiting = {reduce}}},
                                  {1, "b1", {.step = 7, .begun_ns = kSecond, .waiting = {tail, reduce}}},
                                  {2, "c1", {.step = 7, .begun_ns = kSecond, .next = 1}},
                                  {3, "c2", {.step = 7, .begun_ns = kSecond, .next = 1}}};
  ranks[2].standing.computing = OpUnderWay{0, "gemm", kSecond, {}};
  EXPECT_EQ(who_holds_up(ranks), "2 of 3 ranks wait in reduce for rank 2 on c1 (computing gemm)")
      << "rank 3 is in none of it";
  ranks[2].standing = {.step = 7};
  EXPECT_EQ(who_holds_up(ranks), "2 of 3 ranks wait in reduce for rank 2 on c1 (before step 7)");
}

TEST(WhoHoldsUp, TellsATransferFromAnAbsence) {
  const Standing inside{.step = 7, .begun_ns = kSecond, .waiting = {{1, "reduce", kSecond, {0, 1}}}};
  const Standing past{.step = 7, .begun_ns = kSecond, .next = 3};
  EXPECT_EQ(who_holds_up({{0, "a1", inside}, {1, "b1", inside}}), "all 2 ranks are in reduce");
  EXPECT_EQ(who_holds_up({{0, "a1", inside}, {1, "b1", past}}), "1 of 2 ranks are still in reduce");
}

TEST(WhoHoldsUp, SaysNothingOfRanksThatWereNotLookedAt) {
  const Standing inside{.step = 7, .begun_ns = kSecond, .waiting = {{1, "reduce", kSecond, {0, 1, 2, 3}}}};
  const Standing before{.step = 7, .begun_ns = kSecond, .next = 1};
  EXPECT_EQ(who_holds_up({{0, "a1", inside}, {1, "b1", inside}}),
            "all 2 ranks looked at (its group has 4) are in reduce");
  EXPECT_EQ(who_holds_up({{0, "a1", inside}, {1, "b1", before}}),
            "1 of 2 ranks looked at (its group has 4) wait in reduce for rank 1 on b1 (between ops)");
}

TEST(WhoHoldsUp, NamesWhoComputesWhileNobodyWaits) {
  Standing computing{.step = 7, .begun_ns = kSecond};
  computing.computing = OpUnderWay{0, "gemm", kSecond, {}};
  const Standing through{.step = 7, .begun_ns = kSecond, .ended = true};
  EXPECT_EQ(who_holds_up({{0, "a1", through}, {1, "b1", computing}}),
            "not through, and waiting for nobody: rank 1 on b1 (computing gemm)");
  EXPECT_EQ(who_holds_up({{0, "a1", through}, {1, "b1", through}}), "");
}

}  // namespace
}  // namespace lockstep::watch
