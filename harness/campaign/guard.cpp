#include "harness/campaign/guard.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <ctime>
#include <optional>

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness/campaign/guarded_process.hpp"
#include "harness/campaign/process_tree.hpp"
#include "harness/core/clock.hpp"
#include "harness/core/units.hpp"

namespace lockstep::campaign {
namespace {

constexpr std::int64_t kNsPerMs = 1'000'000;
constexpr double kKillPatienceS =
    10.0;  // SIGKILL acts at once, except on a process inside an uninterruptible call

void pause_ms(std::int64_t ms) {
  sleep_until_ns(monotonic_ns() + ms * kNsPerMs);
}

sigset_t guard_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int number : {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGCHLD})
    sigaddset(&signals, number);
  return signals;
}

/// Closes every descriptor from 3 on except the two: among them may be the run file, whose lock must not
/// outlive its writer.
void close_others(int first_kept, int second_kept) {
  const unsigned low = static_cast<unsigned>(std::min(first_kept, second_kept));
  const unsigned high = static_cast<unsigned>(std::max(first_kept, second_kept));
  if (low > 3)
    ::close_range(3, low - 1, 0);
  if (high > low + 1)
    ::close_range(low + 1, high - 1, 0);
  ::close_range(high + 1, ~0U, 0);
}

std::vector<char*> pointers_to(const std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  pointers.reserve(texts.size() + 1);
  for (const std::string& text : texts)
    pointers.push_back(const_cast<char*>(text.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

[[noreturn]] void become_program(const GuardOrder& order, pid_t guard) {
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (::getppid() != guard)
    ::_exit(128 + SIGTERM);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  // All of them: a shell that started us in the background may have had SIGINT and SIGQUIT ignored.
  for (int number = 1; number < NSIG; ++number)
    static_cast<void>(::signal(number, SIG_DFL));
  auto argv = pointers_to(order.argv);
  auto environment = pointers_to(order.environment);
  ::execve(argv[0], argv.data(), environment.data());
  const int error = errno;
  const ssize_t wrote = ::write(order.exec_error_fd, &error, sizeof error);
  ::_exit(wrote == static_cast<ssize_t>(sizeof error) ? 126 : 127);
}

class Guard {
 public:
  Guard(pid_t program, double grace_s) : program_(program), grace_ns_(ns_from_seconds(grace_s)) {}

  ProcessEnd run() {
    const sigset_t signals = guard_signals();
    while (true) {
      reap();
      if (status_ && !ending_)
        begin_ending();
      // The sweep of /proc comes only after the program has ended or was told to: it costs a system call a
      // process.
      const bool descendants_left = ending_ && !descendants_of(::getpid()).empty();
      if (ending_ && status_ && !descendants_left)
        break;
      if (ending_ && monotonic_ns() >= kill_at_ns_) {
        end_.unkillable = kill_descendants(kKillPatienceS);
        reap();
        break;
      }
      // While something is ending, look again soon: a grandchild's death sends no signal here.
      const timespec wait = ending_ ? timespec{0, 10 * kNsPerMs} : timespec{1, 0};
      const int number = ::sigtimedwait(&signals, nullptr, &wait);
      if (number == SIGTERM || number == SIGINT || number == SIGHUP)
        begin_ending();
      else if (number == SIGUSR1 && !status_)
        ::kill(program_, SIGUSR1);
    }
    end_.exit_status = status_.value_or(128 + SIGKILL);
    return end_;
  }

 private:
  void begin_ending() {
    if (ending_)
      return;
    ending_ = true;
    kill_at_ns_ = monotonic_ns() + grace_ns_;
    if (!status_) {
      ::kill(program_, SIGTERM);
      ::kill(program_, SIGCONT);
      return;
    }
    for (const pid_t pid : descendants_of(::getpid())) {
      ++end_.leftovers;
      ::kill(pid, SIGTERM);
      ::kill(pid, SIGCONT);
    }
  }

  void reap() {
    int status = 0;
    for (pid_t pid = 0; (pid = ::waitpid(-1, &status, WNOHANG)) > 0;) {
      if (pid == program_)
        status_ = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    }
  }

  pid_t program_;
  std::int64_t grace_ns_;
  std::int64_t kill_at_ns_ = 0;
  bool ending_ = false;
  std::optional<int> status_;
  ProcessEnd end_;
};

}  // namespace

int kill_descendants(double patience_s) {
  const std::int64_t give_up_ns = monotonic_ns() + ns_from_seconds(patience_s);
  while (true) {
    const std::vector<pid_t> left = descendants_of(::getpid());
    if (left.empty() || monotonic_ns() >= give_up_ns)
      return static_cast<int>(left.size());
    for (const pid_t pid : left)
      ::kill(pid, SIGKILL);
    pause_ms(2);
    while (::waitpid(-1, nullptr, WNOHANG) > 0) {
    }
  }
}

void run_guard(const GuardOrder& order) {
  const sigset_t signals = guard_signals();
  ::sigprocmask(SIG_SETMASK, &signals, nullptr);
  ::setsid();
  ::prctl(PR_SET_NAME, "lockstep-guard");
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (::getppid() != order.controller)
    ::_exit(0);
  const int null_fd = ::open("/dev/null", O_RDONLY);
  if (null_fd < 0 || ::dup2(null_fd, STDIN_FILENO) < 0 || ::dup2(order.log_fd, STDOUT_FILENO) < 0 ||
      ::dup2(order.log_fd, STDERR_FILENO) < 0)
    ::_exit(127);
  close_others(order.report_fd, order.exec_error_fd);
  const pid_t guard = ::getpid();
  const pid_t program = ::fork();
  if (program == 0)
    become_program(order, guard);
  if (program < 0) {
    const int error = errno;
    const ssize_t told = ::write(order.exec_error_fd, &error, sizeof error);
    ::_exit(told == static_cast<ssize_t>(sizeof error) ? 126 : 127);
  }
  ::close(order.exec_error_fd);
  const ProcessEnd end = Guard(program, order.grace_s).run();
  const ssize_t wrote = ::write(order.report_fd, &end, sizeof end);
  ::_exit(wrote == static_cast<ssize_t>(sizeof end) ? 0 : 127);
}

}  // namespace lockstep::campaign
