#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness/core/clock.hpp"
#include "harness/core/posix.hpp"
#include "harness/record/process_state.hpp"
#include "harness/watch/supervisor.hpp"

namespace lockstep::watch {
namespace {

using record::ProcessCondition;
using record::ProcessState;

constexpr std::int64_t kPatienceNs = 30'000'000'000;

bool eventually(const std::function<bool()>& condition) {
  const std::int64_t until_ns = monotonic_ns() + kPatienceNs;
  while (!condition()) {
    if (monotonic_ns() > until_ns)
      return false;
    sleep_until_ns(monotonic_ns() + 1'000'000);
  }
  return true;
}

/// Gone, or dead and not buried.
bool is_dead(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string text;
  std::getline(file, text);
  const std::size_t bracket = text.rfind(')');
  return bracket == std::string::npos || text[bracket + 2] == 'Z' || text[bracket + 2] == 'X';
}

class SupervisorTest : public testing::Test {
 protected:
  SupervisorTest() {
    std::string name = std::filesystem::temp_directory_path() / "lockstep-supervisor-XXXXXX";
    folder_ = ::mkdtemp(name.data());
  }
  ~SupervisorTest() override {
    if (supervisor_ > 0) {
      ::kill(supervisor_, SIGKILL);
      ::waitpid(supervisor_, nullptr, 0);
    }
    std::filesystem::remove_all(folder_);
  }

  /// A supervised program that announces its folder and does `body`, which may return an exit code.
  void start(const std::function<int(Supervised&)>& body) {
    supervisor_ = ::fork();
    if (supervisor_ != 0)
      return;
    const rlimit none{0, 0};
    ::setrlimit(RLIMIT_CORE, &none);
    for (const int number : {SIGSEGV, SIGABRT})
      ::signal(number, SIG_DFL);  // a sanitizer has its own
    Supervised line = supervise();
    line.announce_folder(folder_ + "/below");
    ::_exit(body(line));
  }
  [[nodiscard]] ProcessState state() const {
    const auto states = record::read_process_states(folder_ + "/below");
    return states.size() == 1 ? states.front() : ProcessState{};
  }
  [[nodiscard]] bool comes_to(ProcessCondition condition) const {
    return eventually([&] { return state().pid != 0 && state().condition == condition; });
  }
  /// How the supervisor ended, as its own parent sees it.
  int end() {
    int status = 0;
    EXPECT_EQ(::waitpid(supervisor_, &status, 0), supervisor_);
    supervisor_ = 0;
    return status;
  }
  static int wait_for_ever(Supervised& /*line*/) {
    while (true)
      ::pause();
  }

  std::string folder_;
  pid_t supervisor_ = 0;
};

TEST_F(SupervisorTest, TellsTheExitCodeAndEndsWithIt) {
  const std::int64_t before_ns = utc_ns();
  start([](Supervised& line) {
    line.note_disk_full();
    return 40;
  });
  const pid_t supervisor = supervisor_;
  const int status = end();
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 40);
  const ProcessState found = state();
  EXPECT_EQ(found.condition, ProcessCondition::exited);
  EXPECT_EQ(found.exit_code, 40);
  EXPECT_EQ(found.host, short_host_name());
  EXPECT_EQ(found.supervisor_pid, supervisor);
  EXPECT_NE(found.pid, supervisor);
  EXPECT_GE(found.started_utc_ns, before_ns);
  EXPECT_GE(found.changed_utc_ns, found.started_utc_ns);
  EXPECT_EQ(record::describe(found), "exited with 40, disk full");
}

TEST_F(SupervisorTest, TellsTheSignalAndDiesOfIt) {
  for (const int number : {SIGKILL, SIGSEGV, SIGABRT}) {
    start([number](Supervised& /*line*/) { return ::raise(number); });
    const int status = end();
    ASSERT_TRUE(WIFSIGNALED(status)) << number;
    EXPECT_EQ(WTERMSIG(status), number);
    EXPECT_EQ(state().condition, ProcessCondition::killed);
    EXPECT_EQ(state().signal, number);
    EXPECT_FALSE(state().out_of_memory);
    std::filesystem::remove_all(folder_ + "/below");
  }
}

TEST_F(SupervisorTest, TellsAtOnceThatTheProcessIsStopped) {
  start(&wait_for_ever);
  ASSERT_TRUE(comes_to(ProcessCondition::running));
  const auto pid = static_cast<pid_t>(state().pid);
  ::kill(pid, SIGSTOP);
  ASSERT_TRUE(comes_to(ProcessCondition::stopped));
  EXPECT_EQ(record::describe(state()), "stopped by SIGSTOP");
  ::kill(supervisor_, SIGCONT);  // passed on
  ASSERT_TRUE(comes_to(ProcessCondition::running));
  ::kill(pid, SIGKILL);
  EXPECT_EQ(WTERMSIG(end()), SIGKILL);
}

TEST_F(SupervisorTest, MakesAProcessGoOnThatAskedForIt) {
  start([](Supervised& line) {
    line.resume_after(0.05);
    const std::int64_t begin_ns = monotonic_ns();
    ::raise(SIGSTOP);
    return monotonic_ns() - begin_ns >= 50'000'000 ? 5 : 6;
  });
  EXPECT_EQ(WEXITSTATUS(end()), 5);
}

TEST_F(SupervisorTest, PassesSignalsOnToHandlersFromBefore) {
  static volatile std::sig_atomic_t came = 0;
  struct sigaction action {};
  action.sa_handler = [](int) { came = 1; };
  struct sigaction before {};
  ::sigaction(SIGUSR1, &action, &before);
  start([](Supervised& /*line*/) {
    while (came == 0)
      sleep_until_ns(monotonic_ns() + 1'000'000);
    return 9;
  });
  ::sigaction(SIGUSR1, &before, nullptr);
  ASSERT_TRUE(comes_to(ProcessCondition::running));
  ::kill(supervisor_, SIGUSR1);
  EXPECT_EQ(WEXITSTATUS(end()), 9);
}

TEST_F(SupervisorTest, TerminationReachesTheProcess) {
  start(&wait_for_ever);
  ASSERT_TRUE(comes_to(ProcessCondition::running));
  ::kill(supervisor_, SIGTERM);
  EXPECT_EQ(WTERMSIG(end()), SIGTERM);
  EXPECT_EQ(state().signal, SIGTERM);
}

TEST_F(SupervisorTest, TheProcessDoesNotOutliveItsSupervisor) {
  start(&wait_for_ever);
  ASSERT_TRUE(comes_to(ProcessCondition::running));
  const auto pid = static_cast<pid_t>(state().pid);
  ::kill(supervisor_, SIGKILL);
  EXPECT_EQ(WTERMSIG(end()), SIGKILL);
  EXPECT_TRUE(eventually([pid] { return is_dead(pid); }));
  EXPECT_EQ(state().condition, ProcessCondition::running) << "nobody was left to note it";
}

TEST_F(SupervisorTest, AFolderThatCannotBeMadeChangesNothing) {
  std::ofstream(folder_ + "/below") << "a file";
  start([](Supervised& /*line*/) { return 3; });
  EXPECT_EQ(WEXITSTATUS(end()), 3);
}

TEST_F(SupervisorTest, FilesThatAreNoneAreRefused) {
  const std::string path = folder_ + "/proc-x-1.state";
  EXPECT_ANY_THROW(static_cast<void>(record::read_process_state(path)));
  std::ofstream(path) << std::string(10, 'x');
  EXPECT_ANY_THROW(static_cast<void>(record::read_process_state(path)));
  std::ofstream(path) << std::string(4096, '\0');
  EXPECT_ANY_THROW(static_cast<void>(record::read_process_state(path)));
  EXPECT_TRUE(record::read_process_states(folder_).empty());
}

TEST_F(SupervisorTest, ReadsTheKillsOfAControlGroup) {
  std::filesystem::create_directories(folder_ + "/job/rank");
  std::ofstream(folder_ + "/job/rank/memory.events") << "low 0\nhigh 3\nmax 9\noom 2\noom_kill 4\n";
  EXPECT_EQ(out_of_memory_kills("0::/job/rank\n", folder_), 4);
  std::filesystem::create_directories(folder_ + "/memory/old");
  std::ofstream(folder_ + "/memory/old/memory.oom_control")
      << "oom_kill_disable 0\nunder_oom 0\noom_kill 6\n";
  EXPECT_EQ(out_of_memory_kills("3:cpu,cpuacct:/old\n2:memory:/old\n", folder_), 6);
  EXPECT_EQ(out_of_memory_kills("0::/none\n", folder_), 0);
  EXPECT_EQ(out_of_memory_kills("", folder_), 0);
}

}  // namespace
}  // namespace lockstep::watch
