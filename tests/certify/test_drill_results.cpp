#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "harness/certify/drill_results.hpp"

namespace lockstep::certify {
namespace {

using testing::HasSubstr;

constexpr std::int64_t kSecond = 1'000'000'000;
constexpr std::int64_t kMade = 1'790'000'100 * kSecond;

/// A joint leg of four ranks: two on a1, one each on b1 and b2. A second attempt may follow.
class DrillResultsTest : public testing::Test {
 protected:
  DrillResultsTest() {
    launch(5, 0, "failed", kMade - 10 * kSecond);
    const char* const hosts[] = {"a1", "a1", "b1", "b2"};
    for (std::uint32_t rank = 0; rank < 4; ++rank) {
      record::RankRow row;
      row.leg = 5;
      row.rank = rank;
      row.host = hosts[rank];
      row.site = rank < 2 ? "A" : "B";
      evidence_.ranks.push_back(row);
    }
  }
  void launch(std::uint32_t leg, std::uint32_t attempt, const std::string& outcome,
              std::int64_t launched_utc_ns) {
    record::LegRow row;
    row.leg = leg;
    row.name = "joint";
    row.attempt = attempt;
    row.ranks = 4;
    row.launched_utc_ns = launched_utc_ns;
    evidence_.legs.push_back(row);
    record::LegEndRow end;
    end.leg = leg;
    end.outcome = outcome;
    evidence_.leg_ends.push_back(end);
  }
  plan::Drill& drill(plan::DrillKind kind) {
    plan::Drill drill;
    drill.kind = kind;
    drill.leg = "joint";
    drill.step = 20;
    plan_.drills.push_back(drill);
    record::DrillRow row;
    row.leg = 5;
    row.drill = static_cast<std::uint32_t>(plan_.drills.size() - 1);
    row.begin_utc_ns = kMade;
    row.how = "by hand";
    evidence_.drills.push_back(row);
    return plan_.drills.back();
  }
  void incident(const std::string& kind, const std::string& culprit,
                std::int64_t detected_utc_ns = kMade + kSecond) {
    record::IncidentRow row;
    row.leg = 5;
    row.kind = kind;
    row.culprit = culprit;
    row.confidence = 0.9;
    row.detected_utc_ns = detected_utc_ns;
    incidents_.push_back(row);
  }
  void stall(std::uint32_t step, const std::string& cause, const std::string& culprit) {
    record::StallRow row;
    row.leg = 5;
    row.step = step;
    row.cause = cause;
    row.culprit = culprit;
    evidence_.stalls.push_back(row);
  }
  DrillResult result() { return judge_drills(evidence_, plan_, incidents_).at(0); }

  record::Evidence evidence_;
  plan::Plan plan_;
  std::vector<record::IncidentRow> incidents_;
};

TEST_F(DrillResultsTest, AKilledRankThatIsNamed) {
  drill(plan::DrillKind::kill).rank = 2;
  incident("rank_killed", "rank 2 on b1");
  const DrillResult found = result();
  EXPECT_TRUE(found.made);
  EXPECT_TRUE(found.detected);
  EXPECT_TRUE(found.kind_right);
  EXPECT_TRUE(found.culprit_right);
  EXPECT_EQ(found.detection_s, 1.0);
  EXPECT_EQ(found.target, "rank 2");
  EXPECT_THAT(found.detected_as, HasSubstr("rank killed, rank 2 on b1"));
  EXPECT_FALSE(found.recovered);
}

TEST_F(DrillResultsTest, TheWrongRankAndTheWrongKindAreWrong) {
  drill(plan::DrillKind::kill).rank = 2;
  incident("hang", "rank 3 on b2");
  const DrillResult found = result();
  EXPECT_TRUE(found.detected);
  EXPECT_FALSE(found.kind_right);
  EXPECT_FALSE(found.culprit_right);
}

TEST_F(DrillResultsTest, AHostOfOneRankMayBeCalledByItAndNoOther) {
  plan::Drill& off = drill(plan::DrillKind::kill);
  off.host = "b1";
  incident("host_lost", "rank 2 on b1");
  EXPECT_TRUE(result().culprit_right);
  off.host = "a1";
  incidents_[0].culprit = "rank 0 on a1";
  EXPECT_FALSE(result().culprit_right) << "a1 has two ranks";
  incidents_[0].culprit = "site A";
  EXPECT_TRUE(result().culprit_right) << "a1 is all of A";
}

TEST_F(DrillResultsTest, LinksHaveNoDirectionOfNames) {
  drill(plan::DrillKind::cut).between = {"A", "B"};
  incident("site_cut", "B - A");
  EXPECT_TRUE(result().culprit_right);
  incidents_[0].culprit = "A - C";
  EXPECT_FALSE(result().culprit_right);
}

TEST_F(DrillResultsTest, AWayMayBeCalledByItsLinkButNotTheOtherWayRound) {
  plan::Drill& cut = drill(plan::DrillKind::cut);
  cut.between = {"B", "A"};
  cut.one_way = true;
  incident("site_cut", "A - B");
  EXPECT_TRUE(result().culprit_right);
  incidents_[0].culprit = "B -> A";
  EXPECT_TRUE(result().culprit_right);
  incidents_[0].culprit = "A -> B";
  EXPECT_FALSE(result().culprit_right);
  cut.one_way = false;
  incidents_[0].culprit = "B -> A";
  EXPECT_FALSE(result().culprit_right) << "both ways were cut";
}

TEST_F(DrillResultsTest, WhatPassesIsFoundAsStallsFromItsStepOn) {
  drill(plan::DrillKind::slow).rank = 1;
  stall(12, "slow_compute", "rank 1 on a1");
  EXPECT_FALSE(result().detected) << "before the drill";
  stall(21, "slow_wan", "A - B");
  EXPECT_TRUE(result().detected);
  EXPECT_FALSE(result().kind_right);
  stall(22, "slow_compute", "rank 1 on a1");
  EXPECT_TRUE(result().kind_right) << "the best that was found counts";
  EXPECT_TRUE(result().culprit_right);
}

TEST_F(DrillResultsTest, WhatWasFoundBeforeOrElsewhereDoesNotCount) {
  drill(plan::DrillKind::kill).rank = 2;
  incident("rank_killed", "rank 2 on b1", kMade - kSecond);
  EXPECT_FALSE(result().detected);
  incident("rank_killed", "rank 2 on b1");
  incidents_.back().leg = 4;
  EXPECT_FALSE(result().detected);
}

TEST_F(DrillResultsTest, OneThatCouldNotBeMadeIsNoDrill) {
  drill(plan::DrillKind::cut).between = {"A", "B"};
  evidence_.drills[0].how = "could not be made: no lab";
  EXPECT_FALSE(result().made);
  evidence_.drills.clear();
  EXPECT_FALSE(result().made);
}

TEST_F(DrillResultsTest, WhatComesAfterTheNextFaultIsPutDownToThatOne) {
  drill(plan::DrillKind::slow).rank = 1;
  plan::Drill& next = drill(plan::DrillKind::kill);
  next.rank = 2;
  next.step = 60;
  evidence_.drills[1].begin_utc_ns = kMade + 10 * kSecond;
  stall(60, "slow_compute", "rank 1 on a1");
  incident("rank_killed", "rank 2 on b1", kMade + 12 * kSecond);
  const auto found = judge_drills(evidence_, plan_, incidents_);
  EXPECT_FALSE(found[0].detected);
  EXPECT_FALSE(found[0].recovered) << "that another fault was made behind it proves nothing";
  EXPECT_TRUE(found[1].culprit_right);
  EXPECT_FALSE(found[1].recovered);
  stall(59, "slow_compute", "rank 1 on a1");
  for (std::uint32_t rank = 0; rank < 4; ++rank) {
    record::StepRow step;
    step.leg = 5;
    step.rank = rank;
    step.step = 22;
    step.end_ns = 1;
    evidence_.steps.push_back(step);
  }
  evidence_.drills[0].step = 20;
  evidence_.drills[0].drill = 0;
  EXPECT_TRUE(judge_drills(evidence_, plan_, incidents_)[0].recovered)
      << "two steps on, all ranks were there";
  evidence_.drills[1].drill = 4'000'000'000;
  EXPECT_FALSE(judge_drills(evidence_, plan_, incidents_)[0].recovered)
      << "nothing that is known came between it and the end";
  evidence_.drills[1].drill = 1;
  EXPECT_TRUE(judge_drills(evidence_, plan_, incidents_)[0].culprit_right);
}

TEST_F(DrillResultsTest, RecoveryIsTheEndOfTheFirstStepOfALaterAttempt) {
  drill(plan::DrillKind::kill).rank = 2;
  incident("rank_killed", "rank 2 on b1");
  launch(6, 1, "completed", kMade + 4 * kSecond);
  for (std::uint32_t rank = 0; rank < 4; ++rank) {
    record::RankRow row = evidence_.ranks[rank];
    row.leg = 6;
    evidence_.ranks.push_back(row);
    record::StepRow step;
    step.leg = 6;
    step.rank = rank;
    step.begin_ns = 1 * kSecond;
    step.end_ns = 2 * kSecond + rank;
    evidence_.steps.push_back(step);
    // Rank r's host: UTC is its clock plus this.
    evidence_.provenance.push_back({6, static_cast<std::int32_t>(rank), "clock.utc_minus_monotonic_ns",
                                    std::to_string(kMade + 5 * kSecond)});
  }
  const DrillResult found = result();
  EXPECT_TRUE(found.recovered);
  ASSERT_TRUE(found.recovery_s);
  EXPECT_NEAR(*found.recovery_s, 7.0, 1e-6);
}

}  // namespace
}  // namespace lockstep::certify
