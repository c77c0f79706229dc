#include <filesystem>
#include <map>
#include <optional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "harness/record/journal_layout.hpp"
#include "harness/record/merge.hpp"
#include "harness/record/merge_checks.hpp"
#include "tests/record/fixtures.hpp"

namespace lockstep::record {
namespace {

using testing::AllOf;
using testing::HasSubstr;

/// Three ranks that leave journals in one folder, and the merger that reads them.
class MergeTest : public RecordTest {
 protected:
  MergeTest() : run_(path("run.h5")), writer_(run_, "plan", "now"), leg_(sample_meta(0).leg) {
    std::filesystem::create_directory(path("journals"));
  }

  Journal& start(std::uint32_t rank) { return start(rank, sample_meta(rank)); }
  Journal& start(std::uint32_t rank, const RankMeta& meta) {
    const std::string file = path("journals/" + journal_file_name(rank));
    const JournalRoom room{.health = 4};
    return journals_.emplace(rank, Journal::create(file, meta, 30, 2, kSampleOps, kSampleComms, room))
        .first->second;
  }
  void start_all() {
    for (std::uint32_t rank = 0; rank < kSampleRanks; ++rank)
      start(rank);
  }
  void store_on_all(const SampleStep& sample) {
    for (auto& [rank, journal] : journals_)
      store_step(journal, sample);
  }
  void complete_all() {
    for (auto& [rank, journal] : journals_)
      journal.complete();
  }
  LegMerger& merger() {
    if (!merger_)
      merger_.emplace(writer_, leg_, path("journals"));
    return *merger_;
  }
  LegEndRow finish(const std::string& outcome = "completed", const Analyst& analyst = {}) {
    LegEndRow end;
    end.outcome = outcome;
    end = merger().finish(end, analyst);
    writer_.close();
    evidence_ = read_run_file(run_);
    EXPECT_EQ(evidence_.leg_ends, std::vector{end});
    return end;
  }
  [[nodiscard]] std::vector<FailureRow> failures_of(const std::string& kind) const {
    std::vector<FailureRow> found;
    for (const FailureRow& row : evidence_.failures) {
      if (row.kind == kind)
        found.push_back(row);
    }
    return found;
  }

  std::string run_;
  RunFileWriter writer_;
  LegRow leg_;
  std::map<std::uint32_t, Journal> journals_;
  std::optional<LegMerger> merger_;
  Evidence evidence_;
};

TEST_F(MergeTest, BringsAllOfACompleteLaunch) {
  start_all();
  for (std::uint32_t step = 0; step < 4; ++step)
    store_on_all({.step = step, .begin_ns = 1000 + 200 * step});
  for (auto& [rank, journal] : journals_)
    journal.add_clock({4, rank, 5, 6, 7});
  const DrillRow drill{4, 0, "slow", "rank 1", 2, 100, 200, "computing takes 3 times as long"};
  const CheckpointRow checkpoint{4, 1, "save", 2, 4096, 10, 20, 99, 1};
  const ProbeRow probe{4, 1, 2, 100, 200, 4, 1, 30, 40, 50};
  static_cast<void>(journals_.at(1).add_drill(drill));
  journals_.at(1).add_checkpoint(checkpoint);
  journals_.at(1).add_probe(probe);
  HealthRow health;
  health.leg = 4;
  health.rank = 1;
  health.readings = 2;
  health.ecc_uncorrected = 1;
  journals_.at(1).add_health(health);
  EXPECT_EQ(merger().poll(), 4U);
  complete_all();
  const LegEndRow end = finish();

  EXPECT_EQ(end.outcome, "completed");
  EXPECT_EQ(end.leg, 4U);
  EXPECT_EQ(end.journals, 3U);
  EXPECT_EQ(end.complete_journals, 3U);
  EXPECT_EQ(evidence_.legs, std::vector{leg_});
  EXPECT_EQ(evidence_.graph, sample_meta(0).graph);
  EXPECT_EQ(evidence_.provenance.size(), 3U);
  EXPECT_EQ(evidence_.steps.size(), 12U);
  EXPECT_EQ(evidence_.comms.size(), 24U);
  EXPECT_EQ(evidence_.ops.size(), 3U * 2 * kSampleOps) << "ops of the last two steps of each rank";
  EXPECT_EQ(evidence_.clock.size(), 3U);
  EXPECT_EQ(evidence_.drills, std::vector{drill});
  EXPECT_EQ(evidence_.checkpoints, std::vector{checkpoint});
  EXPECT_EQ(evidence_.probes, std::vector{probe});
  EXPECT_EQ(evidence_.health, std::vector{health});
  ASSERT_EQ(evidence_.devices.size(), 3U);
  EXPECT_EQ(evidence_.devices[2], sample_meta(2).devices.front());
  EXPECT_TRUE(evidence_.failures.empty());
  EXPECT_TRUE(evidence_.stalls.empty());
  ASSERT_EQ(evidence_.ranks.size(), 3U);
  for (std::uint32_t rank = 0; rank < 3; ++rank) {
    RankRow expected = sample_meta(rank).rank;
    expected.state = "complete";
    EXPECT_EQ(evidence_.ranks[rank], expected);
  }
  const StepRow& step = evidence_.steps[4];  // step 1 of rank 1
  EXPECT_EQ(step.leg, 4U);
  EXPECT_EQ(step.rank, 1U);
  EXPECT_EQ(step.step, 1U);
  EXPECT_EQ(step.begin_ns, 1200);
  EXPECT_EQ(step.end_ns, 1300);
  EXPECT_EQ(step.compute_ns, 5);
  EXPECT_EQ(step.exposed_ns, 7);
  EXPECT_EQ(step.exposed_wan_ns, 2) << "of op 1 only, which spans sites";
}

TEST_F(MergeTest, TheLastToArriveDidNotWait) {
  start_all();
  // Op 1 is common to all: rank 2 comes last. Op 2 is common to ranks 0 and 1, rank 2 is alone in it.
  store_step(journals_.at(0), {.comm_ns = {50, 9}});
  store_step(journals_.at(1), {.comm_ns = {40, 30}});
  store_step(journals_.at(2), {.comm_ns = {10, 3}});
  complete_all();
  finish();
  std::map<std::uint32_t, std::map<std::uint32_t, std::int64_t>> wait_ns;  // by rank and op
  for (const CommRow& row : evidence_.comms)
    wait_ns[row.rank][row.op] = row.wait_ns;
  EXPECT_EQ(wait_ns[0][1], 40);
  EXPECT_EQ(wait_ns[1][1], 30);
  EXPECT_EQ(wait_ns[2][1], 0);
  EXPECT_EQ(wait_ns[0][2], 0);
  EXPECT_EQ(wait_ns[1][2], 21) << "rank 2, whose time is shorter, belongs to another part";
  EXPECT_EQ(wait_ns[2][2], 0);
  EXPECT_EQ(evidence_.steps[1].wait_ns, 51);
}

TEST_F(MergeTest, AStepAppearsWhenTheLastRankHasIt) {
  start(0);
  start(1);
  EXPECT_EQ(merger().poll(), 0U) << "rank 2 has no journal yet";
  start(2);
  store_step(journals_.at(0), {.step = 0});
  store_step(journals_.at(0), {.step = 1});
  store_step(journals_.at(1), {.step = 0});
  EXPECT_EQ(merger().poll(), 0U);
  store_step(journals_.at(2), {.step = 0});
  EXPECT_EQ(merger().poll(), 1U);
  EXPECT_EQ(merger().poll(), 1U) << "nothing is appended twice";
  store_step(journals_.at(1), {.step = 1});
  store_step(journals_.at(2), {.step = 1});
  EXPECT_EQ(merger().poll(), 2U);
  complete_all();
  finish();
  EXPECT_EQ(evidence_.steps.size(), 6U);
  EXPECT_EQ(evidence_.comms.size(), 12U);
}

TEST_F(MergeTest, AMissingJournalIsSeen) {
  start(0);
  start(2);
  store_on_all({.step = 0, .comm_ns = {40, 20}});
  complete_all();
  const LegEndRow end = finish();
  EXPECT_EQ(end.outcome, "failed");
  EXPECT_EQ(end.journals, 2U);
  EXPECT_EQ(end.complete_journals, 2U);
  EXPECT_EQ(end.message, "no journal of rank 1");
  ASSERT_EQ(evidence_.ranks.size(), 3U);
  EXPECT_EQ(evidence_.ranks[1].state, "missing");
  EXPECT_EQ(evidence_.ranks[1].rank, 1U);
  ASSERT_EQ(failures_of("missing_evidence").size(), 1U);
  EXPECT_EQ(failures_of("missing_evidence")[0].rank, 1);
  EXPECT_EQ(evidence_.steps.size(), 2U) << "what the others left is kept";
}

TEST_F(MergeTest, ALaunchThatLeftNothing) {
  const LegEndRow end = finish("interrupted");
  EXPECT_EQ(end.outcome, "interrupted");
  EXPECT_EQ(end.journals, 0U);
  EXPECT_EQ(failures_of("missing_evidence").size(), 3U);
  EXPECT_EQ(evidence_.ranks.size(), 3U);
}

TEST_F(MergeTest, AJournalThatEndsEarlyIsPartial) {
  start_all();
  store_on_all({.step = 0});
  store_step(journals_.at(0), {.step = 1});
  step::Recording cut = journals_.at(1).recording();
  cut.steps[1] = {.step = 1, .begin_ns = 2000};
  cut.comms[kSampleComms] = {1, 1, 2001, 2002, 0};
  cut.comms[kSampleComms + 1] = {1, 2, 2003, 0, 0};
  const FailureRow failure{4, 1, 1, 2, "deadline", 0, 0.0, 0.0, 9, "op 2 did not end"};
  journals_.at(1).add_failure(failure);
  journals_.at(0).complete();
  journals_.at(2).complete();
  const LegEndRow end = finish();

  EXPECT_EQ(end.outcome, "failed");
  EXPECT_EQ(end.complete_journals, 2U);
  EXPECT_EQ(end.message, "journal of rank 1 ends early");
  EXPECT_EQ(evidence_.ranks[1].state, "partial");
  EXPECT_EQ(evidence_.failures, std::vector{failure});
  EXPECT_EQ(evidence_.steps.size(), 4U) << "step 1 of rank 0 too, which nobody else completed";
  std::vector<CommRow> of_cut;
  for (const CommRow& row : evidence_.comms) {
    if (row.rank == 1 && row.step == 1)
      of_cut.push_back(row);
  }
  ASSERT_EQ(of_cut.size(), 2U);
  EXPECT_EQ(of_cut[0].wait_ns, 0);
  EXPECT_EQ(of_cut[1].end_ns, 0) << "begun and never completed";
}

TEST_F(MergeTest, AForeignOrDamagedJournalIsMissing) {
  start_all();
  store_on_all({.step = 0});
  complete_all();
  std::filesystem::copy_file(path("journals/" + journal_file_name(0)),
                             path("journals/" + journal_file_name(2)),
                             std::filesystem::copy_options::overwrite_existing);
  write_bytes(path("other"), "no journal");
  std::filesystem::rename(path("other"), path("journals/" + journal_file_name(1)));
  const LegEndRow end = finish();
  EXPECT_EQ(end.journals, 1U);
  EXPECT_EQ(end.message, "no journal of ranks 1-2");
  ASSERT_EQ(failures_of("missing_evidence").size(), 2U);
  EXPECT_THAT(failures_of("missing_evidence")[0].message, HasSubstr("too short"));
  EXPECT_THAT(failures_of("missing_evidence")[1].message, HasSubstr("journal of rank 0 in launch 4"));
}

TEST_F(MergeTest, AJournalOfAnotherLaunchWithTheSameNumberIsMissing) {
  start(0);
  RankMeta earlier = sample_meta(1);
  earlier.leg.launched_utc_ns -= 86'400'000'000'000;
  start(1, earlier);
  RankMeta attempt = sample_meta(2);
  attempt.leg.attempt += 1;
  start(2, attempt);
  store_on_all({.step = 0});
  complete_all();
  const LegEndRow end = finish();
  EXPECT_EQ(end.outcome, "failed");
  EXPECT_EQ(end.message, "no journal of ranks 1-2");
  EXPECT_THAT(failures_of("missing_evidence")[0].message, HasSubstr("journal of another launch"));
}

TEST_F(MergeTest, ProbesWithoutRoomAreToldAndAreNoFailure) {
  start_all();
  for (int i = 0; i < 100; ++i)
    journals_.at(1).add_probe({.leg = 4, .rank = 1, .peer = 0, .begin_ns = i, .end_ns = i + 1, .sent = 1});
  complete_all();
  finish();
  EXPECT_EQ(evidence_.probes.size(), 64U);
  EXPECT_TRUE(failures_of("dropped_rows").empty());
  const ProvenanceRow told{4, 1, "probe_rows_without_room", "36"};
  EXPECT_NE(std::find(evidence_.provenance.begin(), evidence_.provenance.end(), told),
            evidence_.provenance.end());
}

TEST_F(MergeTest, OtherDataOnOneRankNamesIt) {
  start_all();
  for (std::uint32_t step = 0; step < 2; ++step) {
    for (auto& [rank, journal] : journals_)
      store_step(journal,
                 {.step = step, .flags = step::kStepValidated, .checksum = step == 1 && rank == 1 ? 8U : 7U});
  }
  store_step(journals_.at(0), {.step = 2, .checksum = 5});  // not checked, so nothing to compare
  store_step(journals_.at(1), {.step = 2, .checksum = 6});
  store_step(journals_.at(2), {.step = 2, .checksum = 7});
  complete_all();
  finish();
  ASSERT_EQ(evidence_.failures.size(), 1U);
  EXPECT_EQ(evidence_.failures[0].kind, "checksum_mismatch");
  EXPECT_EQ(evidence_.failures[0].leg, 4U);
  EXPECT_EQ(evidence_.failures[0].rank, 1);
  EXPECT_EQ(evidence_.failures[0].step, 1);
  EXPECT_THAT(evidence_.failures[0].message, HasSubstr("ranks 0, 2"));
}

TEST_F(MergeTest, OnlyTheDataParallelPartMustAgree) {
  for (std::uint32_t rank = 0; rank < kSampleRanks; ++rank) {
    RankMeta meta = sample_meta(rank);
    meta.parts["data_parallel"] =
        rank == 1 ? std::vector<std::uint32_t>{1} : std::vector<std::uint32_t>{0, 2};
    store_step(start(rank, meta), {.flags = step::kStepValidated, .checksum = rank == 1 ? 8U : 7U});
  }
  complete_all();
  finish();
  EXPECT_TRUE(evidence_.failures.empty());
}

TEST(CompareChecksumsTest, WithoutAMajorityAllAreNamed) {
  const std::vector<RankChecksum> part = {{0, 7}, {3, 8}};
  const std::vector<FailureRow> rows = compare_checksums(1, 2, "data_parallel", part);
  ASSERT_EQ(rows.size(), 1U);
  EXPECT_EQ(rows[0].rank, -1);
  EXPECT_THAT(rows[0].message, AllOf(HasSubstr("ranks 0"), HasSubstr("ranks 3")));
  EXPECT_TRUE(compare_checksums(1, 2, "data_parallel", {}).empty());
}

TEST_F(MergeTest, AnAnalystGetsAllRowsAndItsConclusionsAreKept) {
  start_all();
  for (auto& [rank, journal] : journals_)
    store_step(journal, {.step = 0, .begin_ns = 1000, .length_ns = 10});
  complete_all();
  Evidence shown;
  finish("completed", [&shown](const Evidence& launch) {
    shown = launch;
    Conclusions conclusions;
    conclusions.stalls.emplace_back().culprit = "rank 2";
    conclusions.incidents.emplace_back().kind = "hang";
    return conclusions;
  });
  ASSERT_EQ(evidence_.stalls.size(), 1U);
  EXPECT_EQ(evidence_.stalls[0].culprit, "rank 2");
  ASSERT_EQ(evidence_.incidents.size(), 1U);
  EXPECT_EQ(evidence_.incidents[0].kind, "hang");
  EXPECT_EQ(shown.legs, evidence_.legs);
  EXPECT_EQ(shown.leg_ends, evidence_.leg_ends);
  EXPECT_EQ(shown.ranks, evidence_.ranks);
  EXPECT_EQ(shown.graph, evidence_.graph);
  EXPECT_EQ(shown.steps, evidence_.steps);
  EXPECT_EQ(shown.comms, evidence_.comms);
  EXPECT_EQ(shown.ops, evidence_.ops);
  EXPECT_EQ(shown.failures, evidence_.failures);
}

TEST_F(MergeTest, AnotherGraphOnOneRankIsTold) {
  start(0);
  start(1);
  RankMeta meta = sample_meta(2);
  meta.graph[0].m = 17;
  start(2, meta);
  complete_all();
  finish();
  ASSERT_EQ(failures_of("graph_mismatch").size(), 1U);
  EXPECT_EQ(failures_of("graph_mismatch")[0].rank, 2);
}

TEST_F(MergeTest, WhatFoundNoRoomIsTold) {
  start_all();
  for (int i = 0; i < 300; ++i)
    journals_.at(1).add_failure(
        {.leg = 4, .rank = 1, .step = 0, .op = 0, .kind = "wrong_value", .message = "m"});
  complete_all();
  finish();
  EXPECT_EQ(failures_of("wrong_value").size(), 256U);
  ASSERT_EQ(failures_of("dropped_rows").size(), 1U);
  EXPECT_THAT(failures_of("dropped_rows")[0].message, HasSubstr("44 failures"));
}

TEST_F(MergeTest, StampsOfUnknownOpsAreLeftOut) {
  start_all();
  store_on_all({.step = 0});
  journals_.at(0).recording().comms[0].op = 1'000'000;
  complete_all();
  finish();
  EXPECT_EQ(evidence_.comms.size(), 5U);
}

TEST(NameRanksTest, RunsAreShort) {
  EXPECT_EQ(name_ranks({}), "");
  EXPECT_EQ(name_ranks(std::vector<std::uint32_t>{3, 7, 8, 9, 11}), "3, 7-9, 11");
}

}  // namespace
}  // namespace lockstep::record
