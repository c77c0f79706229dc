#include <filesystem>
#include <fstream>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "harness/campaign/guarded_process.hpp"
#include "harness/core/error.hpp"
#include "harness/core/posix.hpp"
#include "tests/campaign/process_checks.hpp"

namespace lockstep::campaign {
namespace {

class GuardedProcessTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = testing::TempDir() + "guard-" + std::to_string(::getpid()) + "-" +
              testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override {
    EXPECT_TRUE(eventually(no_process_left)) << "a process was left behind";
    std::filesystem::remove_all(folder_);
  }
  GuardedProcess shell(const std::string& script, double grace_s = 0.2) {
    return GuardedProcess::start({{"/bin/bash", "-c", script}, {{"FOLDER", folder_}}}, folder_ + "/log",
                                 grace_s);
  }
  ProcessEnd wait_for(GuardedProcess& process) {
    EXPECT_TRUE(eventually([&] { return process.poll_end().has_value(); }));
    return process.poll_end().value_or(ProcessEnd{-1, 0, 0});
  }
  bool exists(const std::string& name) const { return std::filesystem::exists(folder_ + "/" + name); }
  std::string folder_;
};

TEST_F(GuardedProcessTest, TellsTheExitStatusAndKeepsTheOutput) {
  GuardedProcess process = shell("echo out; echo err >&2; exit 7");
  EXPECT_EQ(wait_for(process).exit_status, 7);
  EXPECT_EQ(read_text_file(folder_ + "/log"), "out\nerr\n");
}

TEST_F(GuardedProcessTest, TellsADeathBySignalAsAShellDoes) {
  GuardedProcess process = shell("kill -SEGV $$");
  EXPECT_EQ(wait_for(process).exit_status, 139);
}

TEST_F(GuardedProcessTest, EndFdBecomesReadableAtTheEnd) {
  GuardedProcess process = shell("exit 0");
  pollfd waiting{process.end_fd(), POLLIN, 0};
  EXPECT_EQ(::poll(&waiting, 1, 20000), 1);
  EXPECT_TRUE(process.poll_end().has_value());
}

TEST_F(GuardedProcessTest, RefusesAProgramThatCannotBeExecuted) {
  EXPECT_THROW(GuardedProcess::start({{folder_ + "/none"}, {}}, folder_ + "/log"), RunError);
  EXPECT_THROW(GuardedProcess::start({{"/bin/true"}, {}}, folder_ + "/no/such/folder/log"), RunError);
}

TEST_F(GuardedProcessTest, HasNoTerminalNoOpenFilesAndDefaultSignals) {
  const UniqueFd inherited(
      ::open("/dev/null", O_RDONLY));  // on purpose without O_CLOEXEC, as a library might
  GuardedProcess process = shell(
      "readlink /proc/self/fd/0; echo fds $(ls /proc/$$/fd) end; exec grep -E 'SigBlk|SigIgn' "
      "/proc/self/status");
  EXPECT_EQ(wait_for(process).exit_status, 0);
  const std::string log = read_text_file(folder_ + "/log");
  EXPECT_THAT(log, testing::StartsWith("/dev/null\n"));
  EXPECT_THAT(log, testing::Not(testing::HasSubstr(" " + std::to_string(inherited.get()) + " ")));
  EXPECT_THAT(log, testing::EndsWith("end\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n"))
      << "a signal is blocked or ignored";
}

TEST_F(GuardedProcessTest, StopEndsAWillingProgramByTerm) {
  GuardedProcess process =
      shell("trap 'touch $FOLDER/asked; exit 4' TERM; touch $FOLDER/up; while :; do sleep 0.02; done", 20.0);
  ASSERT_TRUE(eventually([&] { return exists("up"); }));
  EXPECT_EQ(process.stop().exit_status, 4);
  EXPECT_TRUE(exists("asked"));
}

TEST_F(GuardedProcessTest, StopKillsAProgramThatIgnoresTermAndItsChildren) {
  GuardedProcess process = shell(
      "trap '' TERM; (while :; do sleep 0.02; done) & setsid bash -c \"trap '' TERM; while :; do sleep 0.02; "
      "done\" & "
      "touch $FOLDER/up; wait");
  ASSERT_TRUE(eventually([&] { return exists("up"); }));
  EXPECT_GE(descendants_of(::getpid()).size(), 3U);
  const ProcessEnd end = process.stop();
  EXPECT_EQ(end.exit_status, 137);
  EXPECT_EQ(end.unkillable, 0);
  EXPECT_TRUE(no_process_left());
}

TEST_F(GuardedProcessTest, AStoppedProgramIsEndedToo) {
  GuardedProcess process = shell("kill -STOP $$; sleep 100", 20.0);
  ASSERT_TRUE(eventually([&] { return descendants_of(process.guard_pid()).size() == 1; }));
  EXPECT_EQ(process.stop().exit_status, 143);
}

TEST_F(GuardedProcessTest, OrphansOfAProgramThatEndedAreEnded) {
  GuardedProcess process = shell(
      "setsid bash -c 'trap \"\" TERM; touch $FOLDER/up; while :; do sleep 0.02; done' & "
      "while [ ! -e $FOLDER/up ]; do sleep 0.01; done; exit 3");
  const ProcessEnd end = wait_for(process);
  EXPECT_EQ(end.exit_status, 3);
  EXPECT_GE(end.leftovers, 1);
  EXPECT_TRUE(no_process_left());
}

TEST_F(GuardedProcessTest, DestructionStops) {
  {
    GuardedProcess process = shell("touch $FOLDER/up; sleep 1000");
    ASSERT_TRUE(eventually([&] { return exists("up"); }));
  }
  EXPECT_TRUE(no_process_left());
}

TEST_F(GuardedProcessTest, AKilledGuardLeavesNothing) {
  GuardedProcess process = shell("trap '' TERM; touch $FOLDER/up; while :; do sleep 0.02; done");
  ASSERT_TRUE(eventually([&] { return exists("up"); }));
  ASSERT_EQ(::kill(process.guard_pid(), SIGKILL), 0);
  const ProcessEnd end = wait_for(process);
  EXPECT_EQ(end.exit_status, 137);
  EXPECT_TRUE(no_process_left());
}

TEST_F(GuardedProcessTest, AKilledControllerLeavesNothing) {
  ASSERT_EQ(::prctl(PR_SET_CHILD_SUBREAPER, 1), 0);  // what escapes comes here, and TearDown looks for it
  const pid_t controller = ::fork();
  ASSERT_GE(controller, 0);
  if (controller == 0) {
    GuardedProcess process = shell("trap '' TERM; touch $FOLDER/up; while :; do sleep 0.02; done");
    ::pause();
    ::_exit(0);
  }
  ASSERT_TRUE(eventually([&] { return exists("up"); }));
  ASSERT_GE(descendants_of(controller).size(), 2U);
  ASSERT_EQ(::kill(controller, SIGKILL), 0);
  EXPECT_TRUE(eventually([&] {
    while (::waitpid(-1, nullptr, WNOHANG) > 0) {
    }
    return no_process_left();
  }));
}

}  // namespace
}  // namespace lockstep::campaign
