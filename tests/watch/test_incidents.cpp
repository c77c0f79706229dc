#include <csignal>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "harness/watch/analysis.hpp"
#include "harness/watch/incident_story.hpp"
#include "harness/watch/incidents.hpp"
#include "harness/watch/watchdog.hpp"
#include "tests/watch/synthetic_launch.hpp"

namespace lockstep::watch {
namespace {

using record::Evidence;
using record::IncidentRow;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;
using tests::kForever;
using tests::make_launch;
using tests::Planted;
using tests::SyntheticLaunch;
using What = tests::Planted::What;

constexpr std::uint32_t kStep = 12;
constexpr std::int64_t kSecond = 1'000'000'000;
constexpr std::int64_t kDeathUtcNs = tests::kSyntheticUtcNs + 2 * kSecond;

Evidence hung(const Planted& planted, SyntheticLaunch launch = {}) {
  launch.planted = {planted};
  return make_launch(launch, 30.0);
}

/// Rank 4 is stuck in computing.
Evidence stuck_rank() {
  return hung({What::work, kStep, tests::kBackward, {4}, kForever});
}

IncidentRow incident_of(const Evidence& evidence, const LaunchFacts& facts = {}) {
  const std::vector<IncidentRow> found = find_incidents(view_of(evidence, 0), facts);
  EXPECT_THAT(found, SizeIs(1));
  return found.empty() ? IncidentRow{} : found.front();
}

/// Rank 4 died of the signal, and the others followed: some ended themselves, some mpirun killed.
LaunchFacts death_of_rank_4(int signal) {
  LaunchFacts facts;
  facts.exit_status = 137;
  facts.detected_utc_ns = kDeathUtcNs + kSecond / 2;
  for (std::uint32_t rank = 0; rank < 8; ++rank) {
    RankEnd end{.kind = RankEndKind::killed,
                .code = SIGKILL,
                .utc_ns = kDeathUtcNs + 2 * kSecond + rank * kSecond / 4};
    if (rank % 2 == 1)
      end = {.kind = RankEndKind::exited,
             .code = static_cast<int>(RankExit::transport_error),
             .utc_ns = kDeathUtcNs + kSecond / 10};
    if (rank == 4)
      end = {.kind = RankEndKind::killed, .code = signal, .utc_ns = kDeathUtcNs};
    facts.ranks.push_back(end);
  }
  return facts;
}

void add_failure(Evidence& evidence, std::int32_t rank, const std::string& kind, const std::string& message,
                 std::int64_t utc_ns = kDeathUtcNs + kSecond) {
  record::FailureRow row;
  row.rank = rank;
  row.kind = kind;
  row.message = message;
  row.utc_ns = utc_ns;
  evidence.failures.push_back(row);
}

void add_checkpoint(Evidence& evidence, std::uint32_t step, std::uint32_t ranks, bool verified = true) {
  for (std::uint32_t rank = 0; rank < ranks; ++rank)
    evidence.checkpoints.push_back(
        {.leg = 0, .rank = rank, .action = "save", .step = step, .verified = verified ? 1U : 0U});
}

TEST(Incidents, TheFirstDeathIsTheCauseAndThereIsOneRow) {
  const IncidentRow row = incident_of(stuck_rank(), death_of_rank_4(SIGKILL));
  EXPECT_EQ(row.kind, "rank_killed");
  EXPECT_EQ(row.culprit, "rank 4 on b1");
  EXPECT_GE(row.confidence, 0.9);
  EXPECT_EQ(row.step, static_cast<std::int32_t>(kStep));
  EXPECT_EQ(row.op, static_cast<std::int32_t>(tests::kBucket0));
  EXPECT_EQ(row.began_utc_ns, kDeathUtcNs);
  EXPECT_EQ(row.detected_utc_ns, kDeathUtcNs + kSecond / 2);
  EXPECT_EQ(row.ranks_hit, 8U);
  EXPECT_THAT(row.first_symptom, HasSubstr("signal 9 (SIGKILL), which this run did not send"));
  EXPECT_THAT(row.cause, Not(HasSubstr("more died"))) << "the launcher ended them";
  EXPECT_THAT(row.story, HasSubstr("7 of 8 ranks waited"));
  EXPECT_THAT(row.story, HasSubstr("Known after 500 ms"));
  EXPECT_THAT(row.story, HasSubstr("12 completed steps (about"));
}

TEST(Incidents, AGpuThatFailedIsTheCauseAndNoDeathOfItsRank) {
  LaunchFacts facts = death_of_rank_4(SIGKILL);
  facts.ranks[4] = {
      .kind = RankEndKind::exited, .code = static_cast<int>(RankExit::device), .utc_ns = kDeathUtcNs};
  Evidence evidence = stuck_rank();
  add_failure(evidence, 4, "device", "bucket0.gemm of step 12: an illegal memory access", kDeathUtcNs);
  const IncidentRow row = incident_of(evidence, facts);
  EXPECT_EQ(row.kind, "device_error");
  EXPECT_EQ(row.culprit, "rank 4 on b1");
  EXPECT_GE(row.confidence, 0.9);
}

TEST(Incidents, SignalsNameTheKindOfDeath) {
  EXPECT_EQ(incident_of(stuck_rank(), death_of_rank_4(SIGSEGV)).kind, "rank_crashed");
  EXPECT_EQ(incident_of(stuck_rank(), death_of_rank_4(SIGBUS)).kind, "rank_crashed");
  EXPECT_EQ(incident_of(stuck_rank(), death_of_rank_4(SIGFPE)).kind, "rank_crashed");
  EXPECT_EQ(incident_of(stuck_rank(), death_of_rank_4(SIGILL)).kind, "rank_crashed");
  EXPECT_EQ(incident_of(stuck_rank(), death_of_rank_4(SIGABRT)).kind, "rank_aborted");
  const IncidentRow asked = incident_of(stuck_rank(), death_of_rank_4(SIGTERM));
  EXPECT_EQ(asked.kind, "rank_killed");
  EXPECT_EQ(asked.culprit, "rank 4 on b1");
}

/// As mpirun ends all ranks a second after the first one gave up: with SIGTERM, whoever was stuck included.
TEST(Incidents, WhoTheLauncherEndsIsNotKilled) {
  LaunchFacts facts;
  for (std::uint32_t rank = 0; rank < 8; ++rank) {
    RankEnd end{.kind = RankEndKind::killed, .code = SIGTERM, .utc_ns = kDeathUtcNs + kSecond};
    if (rank < 3)
      end = {
          .kind = RankEndKind::exited, .code = static_cast<int>(RankExit::deadline), .utc_ns = kDeathUtcNs};
    facts.ranks.push_back(end);
  }
  facts.ranks[7].code = SIGKILL;
  facts.ranks[7].utc_ns = kDeathUtcNs + 2 * kSecond;
  const IncidentRow row = incident_of(stuck_rank(), facts);
  EXPECT_EQ(row.kind, "hang");
  EXPECT_EQ(row.culprit, "rank 4 on b1") << "for whom the others waited";
}

TEST(Incidents, AClockThatIsBehindMakesNoVictimOfTheLauncherACause) {
  LaunchFacts facts;
  for (std::uint32_t rank = 0; rank < 8; ++rank)
    facts.ranks.push_back(
        {.kind = RankEndKind::killed, .code = SIGTERM, .utc_ns = kDeathUtcNs - 3 * kSecond});
  facts.ranks[4] = {.kind = RankEndKind::killed, .code = SIGKILL, .utc_ns = kDeathUtcNs};
  const IncidentRow row = incident_of(stuck_rank(), facts);
  EXPECT_EQ(row.kind, "rank_killed");
  EXPECT_EQ(row.culprit, "rank 4 on b1");
}

TEST(Incidents, WhenAllGotTheSameSignalNobodyIsSurelyTheFirst) {
  LaunchFacts facts;
  for (std::uint32_t rank = 0; rank < 8; ++rank)
    facts.ranks.push_back(
        {.kind = RankEndKind::killed, .code = SIGTERM, .utc_ns = kDeathUtcNs + rank * kSecond / 100});
  const IncidentRow row = incident_of(stuck_rank(), facts);
  EXPECT_EQ(row.kind, "rank_killed");
  EXPECT_LE(row.confidence, 0.5);
}

TEST(Incidents, OutOfMemoryAndAFullDiskAreTold) {
  LaunchFacts facts = death_of_rank_4(SIGKILL);
  facts.ranks[4].out_of_memory = true;
  EXPECT_EQ(incident_of(stuck_rank(), facts).kind, "out_of_memory");
  facts = death_of_rank_4(SIGBUS);  // what a full disk does to a mapped file
  facts.ranks[4].disk_full = true;
  const IncidentRow row = incident_of(stuck_rank(), facts);
  EXPECT_EQ(row.kind, "disk_full");
  EXPECT_EQ(row.culprit, "rank 4 on b1");

  Evidence evidence = stuck_rank();
  add_failure(evidence, 4, "checkpoint", "cannot write /ckpt/rank-4: No space left on device");
  EXPECT_EQ(incident_of(evidence).kind, "disk_full");
}

TEST(Incidents, SignalsOfThisRunAreNoCause) {
  LaunchFacts facts = death_of_rank_4(SIGKILL);
  for (RankEnd& end : facts.ranks)
    end.on_request = end.kind == RankEndKind::killed;
  const IncidentRow row = incident_of(stuck_rank(), facts);
  EXPECT_EQ(row.kind, "hang");
  EXPECT_EQ(row.culprit, "rank 4 on b1");
}

TEST(Incidents, RanksThatEndThemselvesForOthersAreNoCause) {
  LaunchFacts facts;
  for (std::uint32_t rank = 0; rank < 8; ++rank)
    facts.ranks.push_back({.kind = RankEndKind::exited,
                           .code = static_cast<int>(RankExit::deadline),
                           .utc_ns = kDeathUtcNs + rank});
  facts.ranks[4] = {.kind = RankEndKind::running};
  const IncidentRow row = incident_of(stuck_rank(), facts);
  EXPECT_EQ(row.kind, "hang");
  EXPECT_EQ(row.culprit, "rank 4 on b1");
}

TEST(Incidents, AllRanksOfAHostAtOnceAreOneCause) {
  LaunchFacts facts = death_of_rank_4(SIGKILL);
  facts.ranks[5] = {.kind = RankEndKind::killed, .code = SIGKILL, .utc_ns = kDeathUtcNs + 1'000'000};
  const IncidentRow row = incident_of(stuck_rank(), facts);
  EXPECT_EQ(row.kind, "rank_killed");
  EXPECT_EQ(row.culprit, "host b1");
}

TEST(Incidents, AStoppedProcessIsAHangWithAName) {
  LaunchFacts facts;
  facts.ranks.resize(8, {.kind = RankEndKind::running});
  facts.ranks[4] = {.kind = RankEndKind::stopped};
  const IncidentRow row = incident_of(stuck_rank(), facts);
  EXPECT_EQ(row.kind, "hang");
  EXPECT_EQ(row.culprit, "rank 4 on b1");
  EXPECT_GE(row.confidence, 0.95);
  EXPECT_THAT(row.cause, HasSubstr("stopped by a signal"));
  EXPECT_THAT(row.story, HasSubstr("state T"));
}

TEST(Incidents, AHostThatDoesNotAnswer) {
  LaunchFacts facts;
  facts.lost_hosts = {"b1"};
  const IncidentRow row = incident_of(hung({What::work, kStep, tests::kBackward, {4, 5}, kForever}), facts);
  EXPECT_EQ(row.kind, "host_lost");
  EXPECT_EQ(row.culprit, "host b1");
  EXPECT_GE(row.confidence, 0.9);
}

TEST(Incidents, ASiteThatIsLostAtOnceIsOneCause) {
  LaunchFacts facts;
  facts.lost_hosts = {"b1", "b2"};
  const Evidence evidence = hung({What::work, kStep, tests::kBackward, {4, 5, 6, 7}, kForever});
  const IncidentRow row = incident_of(evidence, facts);
  EXPECT_EQ(row.kind, "site_cut");
  EXPECT_EQ(row.culprit, "site B");
}

TEST(Incidents, HostsThatAreLostApartAreTwo) {
  LaunchFacts facts;
  facts.lost_hosts = {"b1", "b2"};
  Evidence evidence = hung({What::work, kStep, tests::kBackward, {4, 5, 6, 7}, kForever});
  for (record::CommRow& row : evidence.comms)
    if (row.rank >= 6 && row.step == kStep)
      row.begin_ns += 5 * kSecond;  // b2 lived on
  const std::vector<IncidentRow> found = find_incidents(view_of(evidence, 0), facts);
  ASSERT_THAT(found, SizeIs(2));
  EXPECT_EQ(found[0].kind, "host_lost");
  EXPECT_EQ(found[0].culprit, "host b1");
  EXPECT_EQ(found[1].culprit, "host b2");
  EXPECT_EQ(found[1].incident, 1U);
}

TEST(Incidents, AProcessThatStopsWithinATransferIsAHangOfThatRank) {
  LaunchFacts facts;
  facts.ranks.resize(8, {.kind = RankEndKind::running});
  facts.ranks[2] = {.kind = RankEndKind::stopped};
  const IncidentRow row = incident_of(hung({What::moving, kStep, tests::kBucket0, {}, kForever}), facts);
  EXPECT_EQ(row.kind, "hang");
  EXPECT_EQ(row.culprit, "rank 2 on a2");
  EXPECT_THAT(row.cause, HasSubstr("held up within a communication"));
}

TEST(Incidents, ADeadLinkIsACut) {
  Evidence evidence = hung({What::moving, kStep, tests::kBucket0, {}, kForever});
  const IncidentRow blind = incident_of(evidence);
  EXPECT_EQ(blind.kind, "hang");
  EXPECT_EQ(blind.culprit, "A - B");
  EXPECT_LE(blind.confidence, 0.7);
  for (record::ProbeRow& probe : evidence.probes)
    if (probe.begin_ns > 2 * kSecond)
      probe.lost = probe.sent;
  const IncidentRow row = incident_of(evidence);
  EXPECT_EQ(row.kind, "site_cut");
  EXPECT_EQ(row.culprit, "A - B");
  EXPECT_GE(row.confidence, 0.9);
}

TEST(Incidents, ATransportThatReportsAnError) {
  Evidence evidence = hung({What::moving, kStep, tests::kBucket0, {}, kForever});
  for (std::int32_t rank = 0; rank < 8; ++rank)
    add_failure(evidence, rank, "transport", "bucket0.all_reduce of step 12: connection reset");
  const IncidentRow row = incident_of(evidence);
  EXPECT_EQ(row.kind, "transport_error");
  EXPECT_EQ(row.culprit, "A - B");
}

TEST(Incidents, FromTheEvidenceAloneASilentRankIsSuspected) {
  Evidence evidence = stuck_rank();
  for (std::int32_t rank = 0; rank < 8; ++rank)
    if (rank != 4)
      add_failure(evidence, rank, "transport", "bucket0.all_reduce of step 12: connection reset");
  add_failure(evidence, -1, "killed", "rank 4 on b1 was killed by signal 9", 0);
  const IncidentRow row = incident_of(evidence);
  EXPECT_EQ(row.kind, "rank_killed");
  EXPECT_EQ(row.culprit, "rank 4 on b1");
  EXPECT_LE(row.confidence, 0.7);
}

TEST(Incidents, WrongDataNamesTheRankThatDiffers) {
  Evidence evidence = make_launch({});
  add_failure(evidence, 3, "checksum_mismatch", "step 9: rank 3 holds other reduced data", 0);
  evidence.failures.back().step = 9;
  const IncidentRow row = incident_of(evidence);
  EXPECT_EQ(row.kind, "wrong_data");
  EXPECT_EQ(row.culprit, "rank 3 on a2");
  EXPECT_EQ(row.step, 9);
  EXPECT_EQ(row.ranks_hit, 1U);
  EXPECT_EQ(row.steps_lost, 0U);
  EXPECT_GE(row.confidence, 0.9);
}

TEST(Incidents, WrongDataOfDifferentRanksAreDifferentIncidents) {
  Evidence evidence = make_launch({});
  for (const auto& [rank, step] : {std::pair{3, 4}, {5, 9}, {3, 12}}) {
    add_failure(evidence, rank, "checksum_mismatch", "other reduced data", 0);
    evidence.failures.back().step = step;
  }
  const std::vector<IncidentRow> rows = find_incidents(view_of(evidence, 0), {});
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_EQ(rows[0].culprit, "rank 3 on a2");
  EXPECT_EQ(rows[0].step, 4);
  EXPECT_EQ(rows[1].culprit, "rank 5 on b1");
  EXPECT_EQ(rows[1].step, 9);
}

TEST(Incidents, WrongDataOfEverOtherRanksDoNotFillTheReport) {
  Evidence evidence = make_launch({});
  for (std::int32_t step = 1; step <= 8; ++step) {
    add_failure(evidence, step - 1, "checksum_mismatch", "other reduced data", 0);
    evidence.failures.back().step = step;
  }
  EXPECT_EQ(find_incidents(view_of(evidence, 0), {}).size(), 8U);
  for (std::int32_t step = 9; step <= 11; ++step) {
    for (const std::int32_t rank : {0, step - 8}) {
      add_failure(evidence, rank, "checksum_mismatch", "other reduced data", 0);
      evidence.failures.back().step = step;
    }
  }
  const std::vector<IncidentRow> rows = find_incidents(view_of(evidence, 0), {});
  ASSERT_EQ(rows.size(), 8U);
  EXPECT_EQ(rows[6].ranks_hit, 1U);
  EXPECT_EQ(rows[7].step, 8);
  EXPECT_EQ(rows[7].ranks_hit, 5U) << "ranks 0 to 3, and 7";
  EXPECT_THAT(rows[7].cause, HasSubstr("put together from 4 steps"));
  EXPECT_LE(rows[7].confidence, 0.5);
}

TEST(Incidents, WrongDataBeforeADeathAreNotItsFirstSign) {
  Evidence evidence = stuck_rank();
  add_failure(evidence, 3, "wrong_value", "1 wrong value in bucket0", 1);
  add_failure(evidence, 5, "transport", "bucket0.all_reduce of step 12: connection reset", 2'000'000'000);
  const std::vector<IncidentRow> rows = find_incidents(view_of(evidence, 0), {});
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_EQ(rows[1].kind, "wrong_data");
  EXPECT_EQ(rows[1].detected_utc_ns, rows[1].began_utc_ns) << "who sees it knows at once";
  EXPECT_GT(rows[0].detected_utc_ns, rows[1].detected_utc_ns + 1'000'000'000);
}

TEST(Incidents, WrongDataOnEveryRankNamesNobody) {
  Evidence evidence = make_launch({});
  for (std::int32_t rank = 0; rank < 8; ++rank)
    add_failure(evidence, rank, "wrong_value", "1 wrong value in bucket0");
  const IncidentRow row = incident_of(evidence);
  EXPECT_EQ(row.kind, "wrong_data");
  EXPECT_EQ(row.culprit, "");
  EXPECT_LE(row.confidence, 0.5);
}

TEST(Incidents, CheckpointsOfAllRanksSaveSteps) {
  Evidence evidence = stuck_rank();
  evidence.legs[0].first_step = 100;  // an earlier attempt had saved so many
  EXPECT_EQ(steps_saved(view_of(evidence, 0)), 100U);
  EXPECT_EQ(incident_of(evidence).steps_lost, kStep);
  add_checkpoint(evidence, 105, 8);
  add_checkpoint(evidence, 108, 7);         // one rank's share is missing
  add_checkpoint(evidence, 110, 8, false);  // not what was written
  const IncidentRow row = incident_of(evidence);
  EXPECT_EQ(row.steps_lost, 7U);
  EXPECT_THAT(row.story, HasSubstr("7 steps after the checkpoint of step 105"));
}

TEST(Incidents, ALaunchThatNeverStepped) {
  Evidence evidence = stuck_rank();
  evidence.steps.clear();
  evidence.comms.clear();
  evidence.ops.clear();
  evidence.leg_ends[0].message = "mpirun could not start";
  evidence.ranks[6].state = evidence.ranks[7].state = "missing";
  IncidentRow row = incident_of(evidence, {.exit_status = 213});
  EXPECT_EQ(row.kind, "launch_failed");
  EXPECT_EQ(row.culprit, "host b2");
  EXPECT_THAT(row.cause, HasSubstr("mpirun could not start"));
  EXPECT_EQ(row.steps_lost, 0U);
  row = incident_of(evidence, {.overdue_phase = "MPI_Init"});
  EXPECT_EQ(row.kind, "hang");
  EXPECT_THAT(row.cause, HasSubstr("MPI_Init"));
}

TEST(Incidents, ARankThatEndsWithAnErrorBeforeTheFirstStep) {
  Evidence evidence = stuck_rank();
  evidence.steps.clear();
  evidence.comms.clear();
  evidence.ops.clear();
  LaunchFacts facts;
  facts.ranks.resize(8);
  facts.ranks[2] = {.kind = RankEndKind::exited, .code = 5, .utc_ns = kDeathUtcNs};
  const IncidentRow row = incident_of(evidence, facts);
  EXPECT_EQ(row.kind, "launch_failed");
  EXPECT_EQ(row.culprit, "rank 2 on a2");
  EXPECT_THAT(row.cause, HasSubstr("exit code 5 before the first step"));
}

TEST(Incidents, WhatCompletedOrWasInterruptedIsNone) {
  EXPECT_THAT(find_incidents(view_of(make_launch({}), 0)), IsEmpty());
  Evidence evidence = stuck_rank();
  EXPECT_THAT(find_incidents(view_of(evidence, 0), {.interrupted = true}), IsEmpty());
  evidence.leg_ends[0].outcome = "interrupted";
  EXPECT_THAT(find_incidents(view_of(evidence, 0)), IsEmpty());
  EXPECT_THAT(find_incidents(view_of(evidence, 5)), IsEmpty());
}

TEST(Incidents, AnAnalysisHoldsStallsAndIncidentsOfOneLaunch) {
  SyntheticLaunch launch;
  launch.planted = {{What::work, 15, tests::kBackward, {5}, 0.2},
                    {What::work, 30, tests::kBackward, {4}, kForever}};
  const Evidence evidence = make_launch(launch);
  const record::Conclusions found = analyse_launch(evidence, 0);
  ASSERT_THAT(found.stalls, SizeIs(1));
  EXPECT_EQ(found.stalls[0].culprit, "rank 5 on b1");
  ASSERT_THAT(found.incidents, SizeIs(1));
  EXPECT_EQ(found.incidents[0].culprit, "rank 4 on b1");
  EXPECT_THAT(analyse_launch(evidence, 8).incidents, IsEmpty());
}

TEST(Incidents, TextsFitTheirColumns) {
  Evidence evidence = stuck_rank();
  evidence.leg_ends[0].message = std::string(5000, 'x');
  for (record::RankRow& row : evidence.ranks)
    row.host = std::string(300, 'h');
  const IncidentRow row = incident_of(evidence, death_of_rank_4(SIGKILL));
  EXPECT_LE(row.culprit.size(), 128U);
  EXPECT_LE(row.cause.size(), 256U);
  EXPECT_LE(row.first_symptom.size(), 256U);
  EXPECT_LE(row.story.size(), 1024U);
}

}  // namespace
}  // namespace lockstep::watch
