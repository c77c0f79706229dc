#include <cstdint>

#include <gtest/gtest.h>

#include "harness/certify/launches.hpp"
#include "harness/certify/time_account.hpp"
#include "harness/core/units.hpp"
#include "harness/step/stamps.hpp"

namespace lockstep::certify {
namespace {

constexpr std::uint32_t kRanks = 2;
constexpr std::int64_t kLaunchedUtcNs = 1'790'000'000'000'000'000;

/// A joint leg of two ranks whose steps take a second each, 0.25 s of it exposed.
class TimeAccountTest : public testing::Test {
 protected:
  void launch(std::uint32_t leg, std::uint32_t attempt, std::uint32_t first_step, double launched_s,
              double ended_s, const std::string& outcome) {
    record::LegRow row;
    row.leg = leg;
    row.name = "joint";
    row.attempt = attempt;
    row.first_step = first_step;
    row.ranks = kRanks;
    row.launched_utc_ns = kLaunchedUtcNs + ns_from_seconds(launched_s);
    evidence_.legs.push_back(row);
    record::LegEndRow end;
    end.leg = leg;
    end.outcome = outcome;
    end.ended_utc_ns = kLaunchedUtcNs + ns_from_seconds(ended_s);
    evidence_.leg_ends.push_back(end);
    for (std::uint32_t rank = 0; rank < kRanks; ++rank) {
      record::RankRow entry;
      entry.leg = leg;
      entry.rank = rank;
      entry.tokens_per_step = 100.0;
      evidence_.ranks.push_back(entry);
    }
  }
  /// Steps 0, 1, ... one after the other; `gap_before` seconds lie before the step in which it is given.
  void steps(std::uint32_t leg, std::uint32_t count, std::uint32_t warmup,
             std::uint32_t slow_step = UINT32_MAX, double extra_s = 0.0, std::uint32_t gap_step = UINT32_MAX,
             double gap_s = 0.0) {
    double now_s = 1000.0;
    for (std::uint32_t step = 0; step < count; ++step) {
      now_s += step == gap_step ? gap_s : 0.0;
      const double length_s = 1.0 + (step == slow_step ? extra_s : 0.0);
      for (std::uint32_t rank = 0; rank < kRanks; ++rank) {
        record::StepRow row;
        row.leg = leg;
        row.rank = rank;
        row.step = step;
        row.flags = step < warmup ? static_cast<std::uint32_t>(step::kStepWarmup) : 0U;
        row.begin_ns = ns_from_seconds(now_s);
        row.end_ns = ns_from_seconds(now_s + length_s);
        row.exposed_ns = ns_from_seconds(rank == 0 ? 0.25 : 0.125);
        evidence_.steps.push_back(row);
      }
      now_s += length_s;
    }
  }
  void save(std::uint32_t leg, std::uint32_t step, double slowest_s, std::uint32_t ranks = kRanks) {
    for (std::uint32_t rank = 0; rank < ranks; ++rank) {
      record::CheckpointRow row;
      row.leg = leg;
      row.rank = rank;
      row.action = "save";
      row.step = step;
      row.end_ns = ns_from_seconds(rank == 0 ? slowest_s : slowest_s / 2.0);
      row.verified = 1;
      evidence_.checkpoints.push_back(row);
    }
  }
  void incident(std::uint32_t leg, double began_s, double detected_s) {
    record::IncidentRow row;
    row.leg = leg;
    row.began_utc_ns = kLaunchedUtcNs + ns_from_seconds(began_s);
    row.detected_utc_ns = kLaunchedUtcNs + ns_from_seconds(detected_s);
    evidence_.incidents.push_back(row);
  }
  /// Also holds the sum of the buckets against the wall time, which is known from the first and last UTC.
  TimeAccount account(double wall_s) {
    launches_ = collect_launches(evidence_);
    const TimeAccount account = account_time(rounds_of(launches_, "joint").at(0), evidence_);
    double sum_s = 0.0;
    for (const double seconds : account.seconds) {
      EXPECT_GE(seconds, 0.0);
      sum_s += seconds;
    }
    EXPECT_NEAR(sum_s, wall_s, 1e-6);
    EXPECT_NEAR(account.wall_s, wall_s, 1e-6);
    return account;
  }
  record::Evidence evidence_;
  std::vector<Launch> launches_;
};

TEST_F(TimeAccountTest, OfAnUndisturbedRound) {
  launch(0, 0, 0, 0.0, 13.0, "completed");
  steps(0, 10, 2);
  const TimeAccount account = this->account(13.0);
  EXPECT_NEAR(account.of(TimeBucket::productive), 7.5, 1e-6);
  EXPECT_NEAR(account.of(TimeBucket::exposed), 2.5, 1e-6) << "of the worst rank";
  EXPECT_NEAR(account.of(TimeBucket::restart), 3.0, 1e-6);
  EXPECT_EQ(account.kept_steps, 10U);
  EXPECT_EQ(account.lost_steps, 0U);
  EXPECT_DOUBLE_EQ(account.kept_tokens, 2000.0);
}

TEST_F(TimeAccountTest, StallsAndGapsAndCheckpointsAreTakenOut) {
  launch(0, 0, 0, 0.0, 30.0, "completed");
  steps(0, 12, 0, 5, 4.0, 8, 0.75);
  save(0, 8, 0.5);    // inside the gap before step 8
  save(0, 12, 0.25);  // behind the last step
  const TimeAccount account = this->account(30.0);
  EXPECT_NEAR(account.of(TimeBucket::stall), 4.0, 1e-6);
  EXPECT_NEAR(account.of(TimeBucket::checkpoint), 1.0, 1e-6);
  EXPECT_NEAR(account.of(TimeBucket::idle), 0.0, 1e-6);
  EXPECT_NEAR(account.of(TimeBucket::productive) + account.of(TimeBucket::exposed), 12.0, 1e-6);
}

TEST_F(TimeAccountTest, WhatLiesBetweenStepsIsIdle) {
  launch(0, 0, 0, 0.0, 20.0, "completed");
  steps(0, 12, 0, UINT32_MAX, 0.0, 8, 0.125);
  const TimeAccount account = this->account(20.0);
  EXPECT_NEAR(account.of(TimeBucket::idle), 0.125, 1e-6);
}

TEST_F(TimeAccountTest, ACheckpointIsNoPartOfAStep) {
  launch(0, 0, 0, 0.0, 30.0, "completed");
  steps(0, 12, 0, UINT32_MAX, 0.0, 8, 5.0);
  save(0, 8, 4.0);
  static_cast<void>(account(30.0));
  EXPECT_DOUBLE_EQ(launches_.at(0).steps.at(8).time_s(), 1.0);
  EXPECT_EQ(launches_.at(0).steps.at(8).paused_ns, ns_from_seconds(5.0));
}

TEST_F(TimeAccountTest, WhatIsRunAgainIsLost) {
  launch(0, 0, 0, 0.0, 14.0, "failed");
  steps(0, 7, 0);
  save(0, 4, 0.0);
  incident(0, 9.0, 11.5);
  launch(1, 1, 4, 16.0, 24.0, "completed");
  steps(1, 6, 1);
  const TimeAccount account = this->account(24.0);
  EXPECT_EQ(account.attempts, 2U);
  EXPECT_EQ(account.kept_steps, 10U);
  EXPECT_EQ(account.lost_steps, 3U);
  EXPECT_NEAR(account.of(TimeBucket::lost), 3.0, 1e-6);
  EXPECT_NEAR(account.of(TimeBucket::detection), 2.5, 1e-6);
  // 14 - 7 - 2.5 of the first, 2 between them, 8 - 6 of the second.
  EXPECT_NEAR(account.of(TimeBucket::restart), 8.5, 1e-6);
}

TEST_F(TimeAccountTest, ARoundThatFailedKeepsWhatAWholeCheckpointHolds) {
  launch(0, 0, 0, 0.0, 10.0, "failed");
  steps(0, 7, 0);
  save(0, 4, 0.0);
  save(0, 6, 0.0, 1);  // by one rank of two
  const TimeAccount account = this->account(10.0);
  EXPECT_EQ(account.kept_steps, 4U);
  EXPECT_EQ(account.lost_steps, 3U);
}

TEST_F(TimeAccountTest, NothingIsCountedTwiceWhenClocksDisagree) {
  // UTC says 5 s for a launch whose steps took 7.
  launch(0, 0, 0, 0.0, 5.0, "completed");
  steps(0, 7, 0);
  const TimeAccount account = this->account(5.0);
  EXPECT_DOUBLE_EQ(account.of(TimeBucket::restart), 0.0);
}

}  // namespace
}  // namespace lockstep::certify
