#include "harness/campaign/guarded_process.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness/campaign/guard.hpp"
#include "harness/campaign/process_tree.hpp"
#include "harness/core/clock.hpp"
#include "harness/core/error.hpp"

namespace lockstep::campaign {
namespace {

struct Pipe {
  UniqueFd read_end;
  UniqueFd write_end;
};

[[noreturn]] void fail(const std::string& what, int error, std::string suggestion = {}) {
  if (error == ENOSPC && suggestion.empty())
    suggestion = "free some space, or write the results to another disk with --out";
  throw RunError(
      {.what = what, .why = std::strerror(error), .suggestion = std::move(suggestion), .file = {}});
}

Pipe make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0)
    fail("cannot make a pipe", errno);
  return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

std::vector<std::string> complete_environment(const std::vector<EnvironmentVariable>& added) {
  std::vector<std::string> environment;
  for (char** entry = ::environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    const bool replaced = std::any_of(
        added.begin(), added.end(),
        [&text](const EnvironmentVariable& variable) { return text.starts_with(variable.name + "="); });
    if (!replaced)
      environment.push_back(text);
  }
  for (const EnvironmentVariable& variable : added)
    environment.push_back(variable.name + "=" + variable.value);
  return environment;
}

}  // namespace

GuardedProcess GuardedProcess::start(const Command& command, const std::string& log_path, double grace_s) {
  LOCKSTEP_EXPECT(!command.argv.empty(), "a command without a program");
  // Should the guard be killed, its orphans come to this process, which can then end them.
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  const UniqueFd log(::open(log_path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!log.valid())
    fail("cannot create the log " + log_path, errno);
  Pipe report = make_pipe();
  Pipe exec_error = make_pipe();
  const GuardOrder order{.argv = command.argv,
                         .environment = complete_environment(command.environment),
                         .log_fd = log.get(),
                         .report_fd = report.write_end.get(),
                         .exec_error_fd = exec_error.write_end.get(),
                         .grace_s = grace_s,
                         .controller = ::getpid()};
  const pid_t guard = ::fork();
  if (guard < 0)
    fail("cannot start a process", errno);
  if (guard == 0)
    run_guard(order);
  GuardedProcess process(guard, std::move(report.read_end), grace_s);
  report.write_end.reset();
  exec_error.write_end.reset();
  int error = 0;
  ssize_t got = 0;
  do {
    got = ::read(exec_error.read_end.get(), &error, sizeof error);
  } while (got < 0 && errno == EINTR);
  if (got == static_cast<ssize_t>(sizeof error)) {
    process.stop();
    fail("cannot execute " + command.argv.front(), error);
  }
  return process;
}

GuardedProcess::GuardedProcess(pid_t guard, UniqueFd report, double grace_s)
    : guard_(guard), report_(std::move(report)), grace_s_(grace_s) {}

GuardedProcess::GuardedProcess(GuardedProcess&& other) noexcept
    : guard_(std::exchange(other.guard_, -1)),
      report_(std::move(other.report_)),
      grace_s_(other.grace_s_),
      end_(other.end_) {}

GuardedProcess::~GuardedProcess() {
  if (guard_ > 0)
    stop();
}

void GuardedProcess::reap_guard() noexcept {
  while (::waitpid(guard_, nullptr, 0) < 0 && errno == EINTR) {
  }
  guard_ = -1;
}

std::optional<ProcessEnd> GuardedProcess::poll_end() {
  if (end_)
    return end_;
  pollfd waiting{report_.get(), POLLIN, 0};
  if (::poll(&waiting, 1, 0) <= 0)
    return std::nullopt;
  ProcessEnd end;
  const ssize_t got = ::read(report_.get(), &end, sizeof end);
  if (got != static_cast<ssize_t>(sizeof end)) {
    // The guard died without a word. What it guarded is ours now.
    end = ProcessEnd{128 + SIGKILL, 0, 0};
    reap_guard();
    end.leftovers = static_cast<int>(descendants_of(::getpid()).size());
    end.unkillable = kill_descendants(grace_s_);
  } else {
    reap_guard();
  }
  end_ = end;
  return end_;
}

ProcessEnd GuardedProcess::wait_for_end(double patience_s) {
  const std::int64_t give_up_ns = monotonic_ns() + static_cast<std::int64_t>(patience_s * 1e9);
  while (true) {
    if (const auto end = poll_end())
      return *end;
    const std::int64_t left_ms = (give_up_ns - monotonic_ns()) / 1'000'000;
    if (left_ms <= 0) {
      ::kill(guard_, SIGKILL);
      // Its end of the report closes, and poll_end() takes over its work.
      pollfd waiting{report_.get(), POLLIN, 0};
      ::poll(&waiting, 1, 1000);
      continue;
    }
    pollfd waiting{report_.get(), POLLIN, 0};
    ::poll(&waiting, 1, static_cast<int>(std::min<std::int64_t>(left_ms, 1000)));
  }
}

void GuardedProcess::ask_to_stop() {
  if (guard_ > 0)
    ::kill(guard_, SIGUSR1);
}

ProcessEnd GuardedProcess::stop() {
  if (const auto end = poll_end())
    return *end;
  ::kill(guard_, SIGTERM);
  constexpr double kGuardPatienceS = 15.0;  // the guard's own patience with unkillable processes, and some
  return wait_for_end(grace_s_ + kGuardPatienceS);
}

}  // namespace lockstep::campaign
