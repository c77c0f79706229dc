#include <cstring>
#include <random>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness/core/error.hpp"
#include "harness/record/describe.hpp"
#include "harness/record/journal.hpp"
#include "harness/record/journal_layout.hpp"
#include "tests/record/fixtures.hpp"

namespace lockstep::record {
namespace {

using testing::HasSubstr;
using testing::Not;

class JournalTest : public RecordTest {
 protected:
  [[nodiscard]] Journal make(std::uint32_t steps = 10, std::uint32_t kept_steps = 2) const {
    return Journal::create(path("j"), sample_meta(0), steps, kept_steps, kSampleOps, kSampleComms);
  }
  [[nodiscard]] JournalReader read() const { return JournalReader::open(path("j")); }
};

TEST_F(JournalTest, GivesBackWhatWasStored) {
  Journal journal = make();
  journal.where().phase.store(RankPhase::stepping);
  for (std::uint32_t step = 0; step < 3; ++step)
    store_step(
        journal,
        {.step = step, .flags = step::kStepWarmup, .begin_ns = 1000 + step * 200, .checksum = 77 + step});
  const ClockRow clock{4, 0, 1, -2, 3};
  journal.add_clock(clock);
  const FailureRow failure{4, 0, 2, 1, "wrong_value", 9, 1.5, 2.5, 123, "element 9 is wrong"};
  journal.add_failure(failure);

  const JournalReader reader = read();
  EXPECT_EQ(reader.meta(), sample_meta(0));
  EXPECT_EQ(reader.phase(), RankPhase::stepping);
  EXPECT_EQ(reader.planned_steps(), 10U);
  EXPECT_EQ(reader.completed_steps(), 3U);
  ASSERT_TRUE(reader.step(2));
  EXPECT_EQ(reader.step(2)->begin_ns, 1400);
  EXPECT_EQ(reader.step(2)->end_ns, 1500);
  EXPECT_EQ(reader.step(2)->flags, step::kStepWarmup);
  EXPECT_EQ(reader.step(2)->compute_ns, 5);
  EXPECT_EQ(reader.step(2)->exposed_ns, 7);
  EXPECT_EQ(reader.step(2)->checksum, 79U);
  EXPECT_FALSE(reader.step(3));
  EXPECT_FALSE(reader.step(10));
  EXPECT_FALSE(reader.step(0xffffffffU));
  ASSERT_EQ(reader.comms(1).size(), 2U);
  EXPECT_EQ(reader.comms(1)[1].op, 2U);
  EXPECT_EQ(reader.comms(1)[1].begin_ns, 1202);
  EXPECT_EQ(reader.comms(1)[1].end_ns, 1222);
  EXPECT_EQ(reader.comms(1)[1].exposed_ns, 3);
  EXPECT_TRUE(reader.comms(3).empty());
  EXPECT_TRUE(reader.comms(10).empty());
  EXPECT_EQ(reader.clock(), std::vector{clock});
  EXPECT_EQ(reader.failures(), std::vector{failure});
  EXPECT_FALSE(reader.is_complete());
  journal.complete();
  EXPECT_TRUE(reader.is_complete());  // the same memory
}

TEST_F(JournalTest, GivesBackDrillsCheckpointsProbesAndHealth) {
  const JournalRoom room{.drills = 2, .checkpoints = 1, .probes = 2, .health = 1};
  Journal journal = Journal::create(path("j"), sample_meta(0), 10, 2, kSampleOps, kSampleComms, room);
  DrillRow drill{4, 1, "kill", "rank 0", 7, 1000, 0, "SIGKILL to itself"};
  const auto place = journal.add_drill(drill);
  ASSERT_TRUE(place);
  EXPECT_EQ(read().drills(), std::vector{drill}) << "before it is over";
  journal.end_drill(*place, 2000);
  drill.end_utc_ns = 2000;
  const CheckpointRow checkpoint{4, 0, "save", 20, 4096, 10, 20, 99, 1};
  journal.add_checkpoint(checkpoint);
  const ProbeRow probe{4, 0, 2, 100, 200, 4, 1, 30, 40, 50};
  journal.add_probe(probe);
  HealthRow health;
  health.leg = 4;
  health.end_ns = 500;
  health.readings = 3;
  health.throttle = 64;
  health.temperature_c = 91.5;
  journal.add_health(health);
  journal.where().allowed_ns.store(77);
  const JournalReader reader = read();
  EXPECT_EQ(reader.drills(), std::vector{drill});
  EXPECT_EQ(reader.checkpoints(), std::vector{checkpoint});
  EXPECT_EQ(reader.probes(), std::vector{probe});
  EXPECT_EQ(reader.health(), std::vector{health});
  EXPECT_EQ(reader.meta().devices, sample_meta(0).devices);
  EXPECT_EQ(reader.allowed_ns(), 77);
  EXPECT_EQ(reader.dropped_others(), 0U);

  EXPECT_TRUE(journal.add_drill(drill));
  EXPECT_FALSE(journal.add_drill(drill));
  journal.add_checkpoint(checkpoint);
  for (int i = 0; i < 3; ++i)
    journal.add_probe(probe);
  EXPECT_EQ(reader.dropped_probes(), 2U);
  EXPECT_EQ(reader.dropped_others(), 2U);
  journal.add_health(health);
  EXPECT_EQ(reader.dropped_others(), 3U);
  EXPECT_EQ(reader.health().size(), 1U);
  EXPECT_EQ(reader.checkpoints().size(), 1U);
  EXPECT_EQ(reader.probes().size(), 2U);
}

TEST_F(JournalTest, KeepsOnlyTheLastStepsOps) {
  Journal journal = make(10, 2);
  for (std::uint32_t step = 0; step < 5; ++step)
    store_step(journal, {.step = step, .begin_ns = 1000 + step * 200});
  const std::vector<step::OpStamp> ops = read().ops();
  ASSERT_EQ(ops.size(), 2 * kSampleOps);
  EXPECT_EQ(ops.front().step, 3U);
  EXPECT_EQ(ops.back().step, 4U);
}

TEST_F(JournalTest, ASlotBelongsToTheStepItNames) {
  Journal journal = make(10, 2);
  store_step(journal, {.step = 0});
  store_step(journal, {.step = 1});
  const step::Recording recording = journal.recording();
  recording.steps[2] = {.step = 2, .begin_ns = 5000};
  recording.ops[0] = {2, 0, 5000, 5005};  // op 0 of step 2 took the slot of op 0 of step 0
  recording.ops[1] = {2, 1, 5006, 0};     // op 1 was begun
  const std::vector<step::OpStamp> ops = read().ops();
  ASSERT_EQ(ops.size(), 6U);
  EXPECT_EQ(ops[0].step, 0U);  // op 2 of step 0 is still there
  EXPECT_EQ(ops[0].op, 2U);
  EXPECT_EQ(ops[1].step, 1U);
  EXPECT_EQ(ops[4].step, 2U);
  EXPECT_EQ(ops[4].op, 0U);
  EXPECT_EQ(ops[5].end_ns, 0);
  EXPECT_EQ(read().completed_steps(), 2U);
  ASSERT_TRUE(read().step(2));
  EXPECT_EQ(read().step(2)->end_ns, 0);
}

TEST_F(JournalTest, StampsDecideWhenTheCounterLags) {
  Journal journal = make();
  for (std::uint32_t step = 0; step < 4; ++step)
    store_step(journal, {.step = step});
  journal.where().completed_steps.store(2);
  EXPECT_EQ(read().completed_steps(), 4U);
  journal.where().completed_steps.store(9);  // damaged: nothing supports it
  EXPECT_EQ(read().completed_steps(), 4U);
}

TEST_F(JournalTest, CountsWhatFindsNoRoom) {
  Journal journal = make();
  for (int i = 0; i < 70; ++i)
    journal.add_clock({});
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&journal] {
      for (int i = 0; i < 100; ++i)
        journal.add_failure({.leg = 4, .rank = 0, .step = 0, .op = 0, .kind = "deadline", .message = "m"});
    });
  }
  for (std::thread& thread : threads)
    thread.join();
  EXPECT_EQ(read().clock().size(), 64U);
  EXPECT_EQ(read().dropped_clock_rows(), 6U);
  EXPECT_EQ(read().failures().size(), 256U);
  EXPECT_EQ(read().dropped_failures(), 144U);
  for (const FailureRow& row : read().failures())
    EXPECT_EQ(row.kind, "deadline");
}

TEST_F(JournalTest, CutsLongTextsBetweenCharacters) {
  Journal journal = make();
  FailureRow row;
  row.kind = std::string(40, 'k');
  row.message = std::string(511, 'm') + "ä";
  journal.add_failure(row);
  EXPECT_EQ(read().failures()[0].kind, std::string(32, 'k'));
  EXPECT_EQ(read().failures()[0].message, std::string(511, 'm'));
}

TEST_F(JournalTest, ForeignTextDoesNotStopARun) {
  RankMeta meta = sample_meta(0);
  meta.rank.host = "caf\xe9";
  meta.rank.peak_gflops = std::nan("");
  Journal::create(path("j"), meta, 1, 1, kSampleOps, kSampleComms);
  EXPECT_EQ(read().meta().rank.host, "caf\xef\xbf\xbd");
  EXPECT_TRUE(std::isnan(read().meta().rank.peak_gflops));
}

TEST_F(JournalTest, FolderThatIsNotThereIsARunError) {
  try {
    Journal::create(path("no/such/j"), sample_meta(0), 1, 1, kSampleOps, kSampleComms);
    FAIL();
  } catch (const RunError& error) {
    EXPECT_THAT(error.what(), HasSubstr("No such file or directory"));
    EXPECT_THAT(error.what(), Not(HasSubstr("\n")));
  }
}

TEST_F(JournalTest, OneOfTheOwnGroupsMissingIsADefect) {
  RankMeta meta = sample_meta(0);
  meta.parts.erase("pair");
  EXPECT_DEATH(Journal::create(path("j"), meta, 1, 1, kSampleOps, kSampleComms), "lacks a group");
}

TEST_F(JournalTest, ForeignFilesAreRefused) {
  EXPECT_THROW(JournalReader::open(path("nowhere")), InputError);
  EXPECT_THROW(JournalReader::open(folder()), InputError);
  write_bytes(path("empty"), "");
  EXPECT_THROW(JournalReader::open(path("empty")), InputError);
  write_bytes(path("text"), std::string(100'000, 'x'));
  EXPECT_THROW(JournalReader::open(path("text")), InputError);
  write_bytes(path("zeros"), std::string(100'000, '\0'));  // reserved, and then its rank died
  EXPECT_THROW(JournalReader::open(path("zeros")), InputError);
}

/// Uses all that a reader offers; any value may come out, but no access may leave the file.
void look_at_everything(const JournalReader& reader) {
  static_cast<void>(reader.is_complete());
  static_cast<void>(to_string(reader.phase()));
  static_cast<void>(reader.completed_steps());
  for (std::uint32_t step = 0; step < std::min(reader.planned_steps(), 100U) + 1; ++step) {
    static_cast<void>(reader.step(step));
    static_cast<void>(reader.comms(step));
  }
  static_cast<void>(reader.ops());
  static_cast<void>(reader.clock());
  static_cast<void>(reader.failures());
  static_cast<void>(reader.dropped_failures());
}

TEST_F(JournalTest, CutAnywhereIsRefused) {
  {
    Journal journal = make();
    store_step(journal, {.step = 0});
    journal.complete();
  }
  const std::string whole = file_bytes(path("j"));
  for (std::size_t length = 0; length < whole.size(); length += length < 6000 ? 7 : 997) {
    write_bytes(path("cut"), whole.substr(0, length));
    EXPECT_THROW(JournalReader::open(path("cut")), InputError) << length;
  }
  write_bytes(path("cut"), whole + std::string(64, '\0'));
  EXPECT_THROW(JournalReader::open(path("cut")), InputError) << "something was added";
}

TEST_F(JournalTest, AFlippedBitInHeaderOrDescriptionIsFound) {
  {
    Journal journal = make();
    store_step(journal, {.step = 0});
  }
  const std::string whole = file_bytes(path("j"));
  JournalShape shape;
  std::memcpy(&shape, whole.data() + offsetof(JournalHeader, shape), sizeof shape);
  const std::size_t fixed = offsetof(JournalHeader, complete);
  write_bytes(path("flipped"), whole);
  for (std::size_t i = 0; i < shape.offsets.meta + shape.meta_bytes; ++i) {
    if (i >= fixed && i < shape.offsets.meta)
      continue;  // counters and padding
    patch_bytes(path("flipped"), i, std::string(1, static_cast<char>(whole[i] ^ (1 << (i % 8)))));
    EXPECT_THROW(JournalReader::open(path("flipped")), InputError) << "byte " << i;
    patch_bytes(path("flipped"), i, whole.substr(i, 1));
  }
  EXPECT_NO_THROW(JournalReader::open(path("flipped")));
}

TEST_F(JournalTest, AnyHeaderWithAValidChecksumIsSafe) {
  {
    Journal journal = make();
    store_step(journal, {.step = 0});
    journal.add_failure({});
  }
  const std::string whole = file_bytes(path("j"));
  std::mt19937 random(7);
  int accepted = 0;
  write_bytes(path("crafted"), whole);
  for (int round = 0; round < 3000; ++round) {
    std::string changed = whole.substr(0, sizeof(JournalHeader));
    for (std::uint_fast32_t flips = 1 + random() % 3; flips > 0; --flips)
      changed[random() % sizeof(JournalHeader)] = static_cast<char>(random());
    JournalShape shape;
    std::memcpy(&shape, changed.data() + offsetof(JournalHeader, shape), sizeof shape);
    const std::uint64_t checksum = shape_checksum(shape);
    std::memcpy(changed.data() + offsetof(JournalHeader, shape_checksum), &checksum, sizeof checksum);
    std::memcpy(changed.data(), &kJournalMagic, sizeof kJournalMagic);
    patch_bytes(path("crafted"), 0, changed);
    try {
      look_at_everything(JournalReader::open(path("crafted")));
      ++accepted;
    } catch (const InputError&) {
    }
  }
  EXPECT_GT(accepted, 0) << "counters may hold anything, so some must get through";
}

TEST_F(JournalTest, AnyStampsAreSafe) {
  { Journal journal = make(); }
  std::string bytes = file_bytes(path("j"));
  JournalShape shape;
  std::memcpy(&shape, bytes.data() + offsetof(JournalHeader, shape), sizeof shape);
  std::mt19937 random(11);
  for (int round = 0; round < 20; ++round) {
    for (std::size_t i = shape.offsets.where; i < bytes.size(); ++i)
      bytes[i] = static_cast<char>(random());
    write_bytes(path("noise"), bytes);
    look_at_everything(JournalReader::open(path("noise")));
  }
}

TEST_F(JournalTest, TheLastCompletedOpOfAKilledRankIsThere) {
  int pipe_ends[2];
  ASSERT_EQ(::pipe(pipe_ends), 0);
  const pid_t rank = ::fork();
  ASSERT_GE(rank, 0);
  if (rank == 0) {
    Journal journal = make(1000, 4);
    const step::Recording recording = journal.recording();
    for (std::uint32_t step = 0;; ++step) {
      if (step == 40) {  // the last one ends in the middle
        recording.steps[step] = {.step = step, .begin_ns = 9000};
        recording.comms[step * kSampleComms] = {step, 1, 9001, 9002, 0};
        recording.comms[step * kSampleComms + 1] = {step, 2, 9003, 0, 0};
        static_cast<void>(!::write(pipe_ends[1], "x", 1));
        ::pause();
      }
      store_step(journal, {.step = step});
    }
  }
  char byte = 0;
  ASSERT_EQ(::read(pipe_ends[0], &byte, 1), 1);
  ::kill(rank, SIGKILL);
  int status = 0;
  ASSERT_EQ(::waitpid(rank, &status, 0), rank);
  ASSERT_TRUE(WIFSIGNALED(status));
  ::close(pipe_ends[0]);
  ::close(pipe_ends[1]);

  const JournalReader reader = read();
  EXPECT_FALSE(reader.is_complete());
  EXPECT_EQ(reader.completed_steps(), 40U);
  ASSERT_EQ(reader.comms(40).size(), 2U);
  EXPECT_EQ(reader.comms(40)[0].end_ns, 9002);
  EXPECT_EQ(reader.comms(40)[1].end_ns, 0) << "begun, never completed";
}

TEST_F(JournalTest, CanBeReadWhileItIsWritten) {
  Journal journal = make(20'000, 2);
  std::thread writer([&journal] {
    for (std::uint32_t step = 0; step < 20'000; ++step)
      store_step(journal, {.step = step, .begin_ns = 1000 + step});
  });
  const JournalReader reader = read();
  std::uint32_t before = 0;
  while (before < 20'000) {
    const std::uint32_t completed = reader.completed_steps();
    EXPECT_GE(completed, before);
    if (completed > 0) {
      ASSERT_TRUE(reader.step(completed - 1));
      EXPECT_EQ(reader.step(completed - 1)->end_ns, 1000 + completed - 1 + 100);
    }
    before = completed;
  }
  writer.join();
}

TEST(JournalNameTest, NamesSortByRankAndLaunch) {
  LegRow leg;
  leg.leg = 3;
  leg.name = "joint";
  leg.round = 1;
  EXPECT_EQ(leg_folder_name(leg), "leg-003-joint-r1-a0");
  EXPECT_EQ(journal_file_name(12), "rank-00012.journal");
}

TEST(DescribeTest, TellsGraphAndPartsInWordsOfTheEvidence) {
  step::StepGraph graph;
  graph.buffers = {{"a", step::BufferRole::activations, step::Dtype::f32, 64}};
  graph.groups = {{"data_parallel", {{RankId(0), RankId(2)}, {RankId(3), RankId(1)}}, true}};
  step::Gemm gemm;
  gemm.m = 2;
  gemm.n = 3;
  gemm.k = 4;
  step::Comm comm;
  comm.kind = step::CommKind::all_reduce;
  comm.elements = 8;
  graph.ops = {{"g", step::Phase::backward, gemm, {}}, {"r", step::Phase::backward, comm, {OpId(0)}}};
  const std::vector<GraphRow> rows = graph_rows(5, graph);
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_EQ(rows[0].leg, 5U);
  EXPECT_EQ(rows[0].kind, "gemm");
  EXPECT_EQ(rows[0].m, 2U);
  EXPECT_DOUBLE_EQ(rows[0].flops, 48.0);
  EXPECT_EQ(rows[0].group, "");
  EXPECT_EQ(rows[1].kind, "all_reduce");
  EXPECT_EQ(rows[1].group, "data_parallel");
  EXPECT_EQ(rows[1].group_ranks, 2U);
  EXPECT_EQ(rows[1].spans_sites, 1U);
  EXPECT_EQ(rows[1].bytes, 32U);
  EXPECT_EQ(rows[1].after, "0");
  EXPECT_EQ(group_parts(graph, RankId(3)).at("data_parallel"), (std::vector<std::uint32_t>{1, 3}));
}

}  // namespace
}  // namespace lockstep::record
