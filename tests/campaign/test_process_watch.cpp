#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include "harness/campaign/process_watch.hpp"
#include "harness/core/posix.hpp"

namespace lockstep::campaign {
namespace {

using record::ProcessCondition;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using watch::RankEndKind;

constexpr std::int64_t kSecond = 1'000'000'000;

/// Two ranks on a1 and one on b1, as their supervisors see them.
class ProcessWatchTest : public testing::Test {
 protected:
  void SetUp() override {
    for (std::uint32_t rank = 0; rank < 3; ++rank) {
      record::RankRow row;
      row.rank = rank;
      row.host = rank < 2 ? "a1" : "b1.example";
      row.site = rank < 2 ? "A" : "B";
      row.pid = 100 + rank;
      ranks_.push_back(row);
      record::ProcessState state;
      state.host = rank < 2 ? "a1" : "b1";
      state.pid = row.pid;
      state.changed_utc_ns = kSecond;
      files_.push_back(record::ProcessStateFile::create(folder_, state));
      states_.push_back(state);
    }
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  void becomes(std::uint32_t rank, ProcessCondition condition, int number, std::int64_t at_s) {
    record::ProcessState& state = states_[rank];
    state.condition = condition;
    state.changed_utc_ns = at_s * kSecond;
    (condition == ProcessCondition::exited ? state.exit_code : state.signal) = number;
    files_[rank].update(state);
    watch_.look((at_s + 1) * kSecond);
  }
  /// Their supervisors give so many signs of life, all of them seen.
  void beat(const std::vector<std::size_t>& files, int times) {
    for (int i = 0; i < times; ++i) {
      for (const std::size_t file : files)
        files_[file].beat();
      watch_.look(kSecond);
    }
  }
  std::string folder_ = testing::TempDir() + "process-watch-" + std::to_string(::getpid());
  std::vector<record::RankRow> ranks_;
  std::vector<record::ProcessState> states_;
  std::vector<record::ProcessStateFile> files_;
  ProcessWatch watch_{folder_};
};

TEST_F(ProcessWatchTest, TellsHowEachRankEnded) {
  becomes(0, ProcessCondition::exited, 40, 5);
  becomes(1, ProcessCondition::killed, SIGTERM, 9);
  becomes(2, ProcessCondition::killed, SIGKILL, 4);
  const auto ends = watch_.ends(ranks_, 8 * kSecond);
  ASSERT_EQ(ends.size(), 3U);
  EXPECT_EQ(ends[0].kind, RankEndKind::exited);
  EXPECT_EQ(ends[0].code, 40);
  EXPECT_EQ(ends[0].utc_ns, 5 * kSecond);
  EXPECT_TRUE(ends[1].on_request) << "after the controller began to end the launch";
  EXPECT_EQ(ends[2].kind, RankEndKind::killed);
  EXPECT_EQ(ends[2].code, SIGKILL);
  EXPECT_FALSE(ends[2].on_request);
}

TEST_F(ProcessWatchTest, TellsTheFirstTroubleAtOnceAndNotTheDeathsThatFollow) {
  watch_.look(2 * kSecond);
  EXPECT_THAT(watch_.take_news(), IsEmpty());
  EXPECT_EQ(watch_.first_trouble_utc_ns(), 0);
  becomes(2, ProcessCondition::killed, SIGKILL, 4);
  EXPECT_THAT(watch_.take_news(), ElementsAre(HasSubstr("process 102 on b1: killed by SIGKILL")));
  EXPECT_EQ(watch_.first_trouble_utc_ns(), 5 * kSecond);
  becomes(0, ProcessCondition::killed, SIGTERM, 6);
  EXPECT_THAT(watch_.take_news(), IsEmpty());
  EXPECT_EQ(watch_.first_trouble_utc_ns(), 5 * kSecond);
}

TEST_F(ProcessWatchTest, AStopThatIsOverIsNotTheTroubleThatEndsTheLaunch) {
  becomes(1, ProcessCondition::stopped, SIGSTOP, 3);
  EXPECT_EQ(watch_.first_trouble_utc_ns(), 4 * kSecond);
  becomes(1, ProcessCondition::running, 0, 5);
  EXPECT_EQ(watch_.first_trouble_utc_ns(), 0);
  becomes(1, ProcessCondition::stopped, SIGSTOP, 10);
  becomes(0, ProcessCondition::exited, 40, 13);
  becomes(1, ProcessCondition::running, 0, 14);
  EXPECT_EQ(watch_.first_trouble_utc_ns(), 11 * kSecond) << "woken by the launcher to be ended";
}

TEST_F(ProcessWatchTest, ACleanExitIsNoTrouble) {
  becomes(0, ProcessCondition::exited, 0, 5);
  EXPECT_THAT(watch_.take_news(), IsEmpty());
}

TEST_F(ProcessWatchTest, RemembersThatOneWasStoppedWhenTheLauncherWokeItToEndIt) {
  becomes(1, ProcessCondition::stopped, SIGSTOP, 3);
  EXPECT_THAT(watch_.take_news(), ElementsAre(HasSubstr("stopped")));
  becomes(1, ProcessCondition::running, 0, 30);
  becomes(1, ProcessCondition::killed, SIGTERM, 31);
  const auto ends = watch_.ends(ranks_, 0);
  EXPECT_EQ(ends[1].kind, RankEndKind::stopped);
  EXPECT_EQ(ends[1].utc_ns, 3 * kSecond);
}

TEST_F(ProcessWatchTest, OneThatWentOnBeforeAnythingEndedWasNotStoppedAtItsEnd) {
  becomes(1, ProcessCondition::stopped, SIGSTOP, 3);
  becomes(1, ProcessCondition::running, 0, 5);
  becomes(2, ProcessCondition::exited, 42, 7);
  becomes(1, ProcessCondition::killed, SIGTERM, 8);
  EXPECT_EQ(watch_.ends(ranks_, 0)[1].kind, RankEndKind::killed);
}

TEST_F(ProcessWatchTest, OneThatWentOnForLongWasNotStoppedAtItsEnd) {
  becomes(1, ProcessCondition::stopped, SIGSTOP, 3);
  becomes(1, ProcessCondition::running, 0, 5);
  becomes(1, ProcessCondition::killed, SIGTERM, 60);
  EXPECT_EQ(watch_.ends(ranks_, 0)[1].kind, RankEndKind::killed);
}

TEST_F(ProcessWatchTest, AHostIsSilentThatNeitherTellsOfAnEndNorBeatsAnyMore) {
  beat({0, 1, 2}, 3);
  watch_.listen();
  EXPECT_FALSE(watch_.everybody_is_heard());
  becomes(0, ProcessCondition::exited, 40, 5);
  EXPECT_THAT(watch_.silent_hosts(ranks_), ElementsAre("b1.example")) << "a1 told of rank 0's end";
  beat({2}, 1);
  EXPECT_THAT(watch_.silent_hosts(ranks_), IsEmpty()) << "its supervisor still lives";
  EXPECT_TRUE(watch_.everybody_is_heard());
}

TEST_F(ProcessWatchTest, WhoseSignsOfLifeDoNotGetHereIsNotMissed) {
  watch_.look(kSecond);
  watch_.listen();
  watch_.look(2 * kSecond);
  EXPECT_TRUE(watch_.everybody_is_heard());
  EXPECT_THAT(watch_.silent_hosts(ranks_), IsEmpty());
}

TEST_F(ProcessWatchTest, ThisMachineIsNotSilent) {
  for (record::RankRow& rank : ranks_)
    rank.host = rank.rank < 2 ? "a1" : short_host_name() + ".example";
  record::ProcessState state;
  state.host = short_host_name();
  state.pid = ranks_[2].pid;
  files_.push_back(record::ProcessStateFile::create(folder_, state));
  beat({0, 1, 3}, 3);
  watch_.listen();
  EXPECT_THAT(watch_.silent_hosts(ranks_), ElementsAre("a1"));
}

TEST_F(ProcessWatchTest, RanksThatNobodySupervisesAreUnknown) {
  ranks_[2].pid = 999;
  beat({0, 1}, 3);
  watch_.listen();
  EXPECT_EQ(watch_.ends(ranks_, 0)[2].kind, RankEndKind::unknown);
  EXPECT_THAT(watch_.silent_hosts(ranks_), ElementsAre("a1"));
}

TEST_F(ProcessWatchTest, CulpritsStandForHosts) {
  record::IncidentRow incident;
  const auto blamed = [&](const char* culprit) {
    incident.culprit = culprit;
    return hosts_to_blame(incident, ranks_);
  };
  EXPECT_THAT(blamed("rank 2 on b1"), ElementsAre("b1.example"));
  EXPECT_THAT(blamed("host a1"), ElementsAre("a1"));
  EXPECT_THAT(blamed("site A"), ElementsAre("a1"));
  EXPECT_THAT(blamed("A - B"), IsEmpty());
  EXPECT_THAT(blamed(""), IsEmpty());
}

}  // namespace
}  // namespace lockstep::campaign
