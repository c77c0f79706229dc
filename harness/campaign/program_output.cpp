#include "harness/campaign/program_output.hpp"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness/core/clock.hpp"
#include "harness/core/posix.hpp"
#include "harness/core/units.hpp"

namespace lockstep::campaign {
namespace {

constexpr std::size_t kMostText = 1 << 20;

class FileActions {
 public:
  FileActions() { ::posix_spawn_file_actions_init(&actions_); }
  FileActions(const FileActions&) = delete;
  FileActions& operator=(const FileActions&) = delete;
  ~FileActions() { ::posix_spawn_file_actions_destroy(&actions_); }
  posix_spawn_file_actions_t* get() { return &actions_; }

 private:
  posix_spawn_file_actions_t actions_{};
};

std::vector<char*> pointers_to(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  pointers.reserve(texts.size() + 1);
  for (std::string& text : texts)
    pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

}  // namespace

ProgramOutput output_of(const Command& command, double deadline_s) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0)
    return {{}, std::strerror(errno)};
  const UniqueFd read_end(ends[0]);
  UniqueFd write_end(ends[1]);
  FileActions actions;
  ::posix_spawn_file_actions_addopen(actions.get(), STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_adddup2(actions.get(), write_end.get(), STDOUT_FILENO);
  ::posix_spawn_file_actions_adddup2(actions.get(), write_end.get(), STDERR_FILENO);
  std::vector<std::string> argv = command.argv;
  std::vector<std::string> environment;
  for (const EnvironmentVariable& variable : command.environment)
    environment.push_back(variable.name + "=" + variable.value);
  for (char** entry = ::environ; entry != nullptr && *entry != nullptr; ++entry)
    environment.emplace_back(*entry);
  pid_t pid = 0;
  const int error = ::posix_spawn(&pid, argv.front().c_str(), actions.get(), nullptr,
                                  pointers_to(argv).data(), pointers_to(environment).data());
  if (error != 0)
    return {{}, std::strerror(error)};
  write_end.reset();

  ProgramOutput output;
  const std::int64_t deadline_ns = monotonic_ns() + static_cast<std::int64_t>(deadline_s * kNsPerS);
  while (true) {
    const std::int64_t left_ms = (deadline_ns - monotonic_ns()) / 1'000'000;
    pollfd waiting{read_end.get(), POLLIN, 0};
    const int ready = left_ms > 0 ? ::poll(&waiting, 1, static_cast<int>(left_ms)) : 0;
    if (ready < 0 && errno == EINTR)
      continue;
    std::array<char, 4096> buffer{};
    const ssize_t got = ready > 0 ? ::read(read_end.get(), buffer.data(), buffer.size()) : -1;
    if (got > 0 && output.text.size() < kMostText) {
      output.text.append(buffer.data(), static_cast<std::size_t>(got));
      continue;
    }
    if (got != 0) {
      output.error = "it did not end in time";
      ::kill(pid, SIGKILL);
    }
    break;
  }
  while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
  return output;
}

}  // namespace lockstep::campaign
