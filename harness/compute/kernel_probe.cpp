#include "harness/compute/kernel_probe.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <sstream>
#include <vector>

#include <fcntl.h>
#include <fmt/core.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness/core/clock.hpp"
#include "harness/core/posix.hpp"
#include "harness/core/text.hpp"

extern char** environ;

namespace lockstep::compute {
namespace {

constexpr std::size_t kMostOutput = 65536;

/// A process that is killed and reaped when its owner goes away.
class Child {
 public:
  explicit Child(pid_t pid) : pid_(pid) {}
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    if (pid_ <= 0)
      return;
    ::kill(pid_, SIGKILL);
    static_cast<void>(reap(0));
  }
  /// waitpid's status, or nothing while it runs (`options` = WNOHANG). -1: the status went to somebody else.
  struct Reaped {
    bool ended = false;
    int status = 0;
  };
  Reaped reap(int options) {
    int status = 0;
    pid_t got = 0;
    do {
      got = ::waitpid(pid_, &status, options);
    } while (got < 0 && errno == EINTR);
    if (got == 0)
      return {};
    pid_ = -1;
    return {true, got < 0 ? -1 : status};
  }
  void kill_now() const { ::kill(pid_, SIGKILL); }

 private:
  pid_t pid_;
};

struct Outcome {
  bool started = false;
  bool timed_out = false;
  int status = 0;  // of waitpid; -1 unknown
  std::string output;
  std::string error;  // why it was not started
};

std::vector<std::string> child_environment(const GemmKernel& kernel) {
  std::vector<std::string> variables;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    const std::string_view text(*variable);
    const std::string_view name = text.substr(0, text.find('='));
    const bool replaced =
        name == "OPENBLAS_CORETYPE" ||
        std::any_of(kernel.environment.begin(), kernel.environment.end(),
                    [name](const EnvironmentSetting& setting) { return setting.name == name; });
    if (!replaced)
      variables.emplace_back(text);
  }
  for (const EnvironmentSetting& setting : kernel.environment)
    variables.push_back(setting.name + "=" + setting.value);
  return variables;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> result;
  result.reserve(texts.size() + 1);
  for (std::string& text : texts)
    result.push_back(text.data());
  result.push_back(nullptr);
  return result;
}

/// Starts the program with standard output on `out_fd` and everything else on /dev/null. Returns an errno
/// value.
int spawn(std::vector<std::string> arguments, std::vector<std::string> environment, int out_fd, pid_t& pid) {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawnattr_init(&attributes);
  ::posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_adddup2(&actions, out_fd, STDOUT_FILENO);
  ::posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  // A parent that blocks or ignores signals must not hand that on: the child has to die of its own faults.
  sigset_t none;
  sigset_t all;
  sigemptyset(&none);
  sigfillset(&all);
  ::posix_spawnattr_setsigmask(&attributes, &none);
  ::posix_spawnattr_setsigdefault(&attributes, &all);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  const std::vector<char*> argv = pointers(arguments);
  const std::vector<char*> envp = pointers(environment);
  const int error = ::posix_spawn(&pid, argv[0], &actions, &attributes, argv.data(), envp.data());
  ::posix_spawnattr_destroy(&attributes);
  ::posix_spawn_file_actions_destroy(&actions);
  return error;
}

/// Collects the child's output until it ends or the deadline passes.
Outcome collect(Child& child, const UniqueFd& read_end, std::int64_t deadline_ns) {
  Outcome outcome;
  outcome.started = true;
  bool open = true;
  while (true) {
    const std::int64_t left_ns = deadline_ns - monotonic_ns();
    if (left_ns <= 0) {
      child.kill_now();
      outcome.timed_out = true;
      outcome.status = child.reap(0).status;
      return outcome;
    }
    if (open) {
      pollfd waiting{read_end.get(), POLLIN, 0};
      const int wait_ms = static_cast<int>(std::min<std::int64_t>(left_ns / 1'000'000 + 1, 1000));
      if (::poll(&waiting, 1, wait_ms) <= 0)
        continue;
      char buffer[4096];
      const ssize_t got = ::read(read_end.get(), buffer, sizeof buffer);
      if (got > 0 && outcome.output.size() < kMostOutput)
        outcome.output.append(buffer, static_cast<std::size_t>(got));
      open = got > 0 || (got < 0 && errno == EINTR);
      continue;
    }
    const Child::Reaped reaped = child.reap(WNOHANG);
    if (reaped.ended) {
      outcome.status = reaped.status;
      return outcome;
    }
    sleep_until_ns(monotonic_ns() + 1'000'000);  // its output is closed: it is about to end
  }
}

Outcome run(const std::string& program, const GemmKernel& kernel, const ProbeRequest& request) {
  const std::int64_t deadline_ns = monotonic_ns() + static_cast<std::int64_t>(request.deadline_s * 1e9);
  int ends[2] = {-1, -1};
  if (::pipe2(ends, O_CLOEXEC) != 0)
    return {.started = false, .timed_out = false, .status = 0, .output = {}, .error = std::strerror(errno)};
  const UniqueFd read_end(ends[0]);
  UniqueFd write_end(ends[1]);
  pid_t pid = -1;
  const int error = spawn({program, kernel.name, to_string(kernel.family), kernel.library_path,
                           std::to_string(request.extent), fmt::format("{:.6f}", request.budget_s)},
                          child_environment(kernel), write_end.get(), pid);
  if (error != 0)
    return {.started = false, .timed_out = false, .status = 0, .output = {}, .error = std::strerror(error)};
  Child child(pid);
  write_end.reset();
  return collect(child, read_end, deadline_ns);
}

/// Reads what probe_main() wrote: `core NAME`, `error TEXT`, `exact 0|1`, `rate EXTENT GFLOPS 0|1`, `end`.
void interpret(const std::string& output, KernelMeasurement& result) {
  bool exact = false;
  bool correct = false;
  bool complete = false;
  std::string error;
  for (const std::string& line : split(output, '\n')) {
    std::istringstream words(line);
    std::string key;
    words >> key;
    if (key == "core") {
      words >> result.kernel.core_name;
    } else if (key == "error") {
      error = trim(line.substr(key.size()));
    } else if (key == "exact") {
      words >> exact;
    } else if (key == "rate") {
      words >> result.extent >> result.gflops >> correct;
      if (!words)
        correct = false;
    } else if (key == "end") {
      complete = true;
    }
  }
  if (!error.empty() || !complete) {
    result.status = KernelStatus::failed;
    result.detail = error.empty() ? "the probe ended without a result" : error;
  } else if (!exact || !correct || !(result.gflops > 0.0)) {
    result.status = KernelStatus::wrong_result;
    result.detail = "its products are wrong";
  } else {
    result.status = KernelStatus::measured;
  }
  if (result.status != KernelStatus::measured)
    result.gflops = 0.0;
}

}  // namespace

const char* to_string(KernelStatus status) {
  switch (status) {
    case KernelStatus::measured:
      return "measured";
    case KernelStatus::wrong_result:
      return "wrong result";
    case KernelStatus::crashed:
      return "crashed";
    case KernelStatus::timed_out:
      return "timed out";
    case KernelStatus::failed:
      return "failed";
    case KernelStatus::skipped:
      return "skipped";
  }
  return "?";
}

std::string find_probe_program() {
  if (const char* path = std::getenv("LOCKSTEP_GEMM_PROBE"); path != nullptr && *path != '\0')
    return path;
  std::error_code error;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error)
    return {};
  const std::filesystem::path beside = self.parent_path() / kProbeProgram;
  return std::filesystem::exists(beside, error) ? beside.string() : std::string{};
}

KernelMeasurement run_probe(const std::string& program, const GemmKernel& kernel,
                            const ProbeRequest& request) {
  KernelMeasurement result;
  result.kernel = kernel;
  result.extent = request.extent;
  const Outcome outcome = run(program, kernel, request);
  if (!outcome.started) {
    result.status = KernelStatus::failed;
    result.detail = "cannot start " + program + ": " + outcome.error;
  } else if (outcome.timed_out) {
    result.status = KernelStatus::timed_out;
    result.detail = fmt::format("no answer within {:.1f} s", request.deadline_s);
  } else if (outcome.status != -1 && WIFSIGNALED(outcome.status)) {
    result.status = KernelStatus::crashed;
    result.detail =
        fmt::format("signal {} ({})", WTERMSIG(outcome.status), ::strsignal(WTERMSIG(outcome.status)));
  } else {
    interpret(outcome.output, result);
  }
  return result;
}

}  // namespace lockstep::compute
