#include "harness/campaign/slurm_allocation.hpp"

#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdlib>

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness/core/clock.hpp"
#include "harness/core/error.hpp"
#include "harness/core/posix.hpp"
#include "harness/core/text.hpp"
#include "harness/core/units.hpp"

extern char** environ;  // NOLINT(readability-redundant-declaration): only some C libraries declare it

namespace lockstep::campaign {
namespace {

constexpr double kToolPatienceS = 15.0;

using Environment = std::map<std::string, std::string>;

std::string value_of(const Environment& environment, const char* name) {
  const auto found = environment.find(name);
  return found == environment.end() ? std::string() : found->second;
}

std::optional<std::int64_t> parse_integer(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size())
    return std::nullopt;
  return value;
}

std::vector<std::uint32_t> slots_of_hosts(const Environment& environment, std::size_t hosts) {
  for (const char* name : {"SLURM_TASKS_PER_NODE", "SLURM_NTASKS_PER_NODE", "SLURM_JOB_CPUS_PER_NODE"}) {
    const std::string counts = value_of(environment, name);
    if (counts.empty())
      continue;
    const bool one_for_all = counts.find_first_not_of("0123456789") == std::string::npos;
    return expand_counts(one_for_all ? fmt::format("{}(x{})", counts, hosts) : counts, hosts);
  }
  return std::vector<std::uint32_t>(hosts, 1);
}

std::optional<std::int64_t> end_of_job(const Environment& environment, const std::string& job_id,
                                       const SlurmTool& tool) {
  if (const auto end_s = parse_integer(value_of(environment, "SLURM_JOB_END_TIME")))
    return *end_s * static_cast<std::int64_t>(kNsPerS);
  const auto left = tool({"squeue", "--noheader", "--job", job_id, "--format=%L"});
  const auto left_s = left ? parse_time_s(*left) : std::nullopt;
  if (!left_s)
    return std::nullopt;
  return utc_ns() + static_cast<std::int64_t>(*left_s * kNsPerS);
}

/// Reads until the other end is closed or the time is over; nullopt in the second case.
std::optional<std::string> read_until_closed(int fd, std::int64_t give_up_ns) {
  std::string text;
  std::array<char, 4096> part{};
  while (true) {
    const std::int64_t left_ms = (give_up_ns - monotonic_ns()) / 1'000'000;
    pollfd waiting{fd, POLLIN, 0};
    if (left_ms <= 0 || ::poll(&waiting, 1, static_cast<int>(left_ms)) <= 0)
      return std::nullopt;
    const ssize_t got = ::read(fd, part.data(), part.size());
    if (got <= 0)
      return text;
    text.append(part.data(), static_cast<std::size_t>(got));
  }
}

}  // namespace

std::optional<SlurmAllocation> read_slurm_allocation(const Environment& environment, const SlurmTool& tool) {
  SlurmAllocation allocation;
  allocation.job_id = value_of(environment, "SLURM_JOB_ID");
  const std::string list = value_of(environment, "SLURM_JOB_NODELIST");
  if (allocation.job_id.empty() || list.empty())
    return std::nullopt;
  const std::vector<std::string> hosts = expand_host_list(list);
  const std::vector<std::uint32_t> slots = slots_of_hosts(environment, hosts.size());
  for (std::size_t i = 0; i < hosts.size(); ++i)
    allocation.hosts.push_back({hosts[i], slots[i]});
  const auto restarts = parse_integer(value_of(environment, "SLURM_RESTART_COUNT"));
  allocation.restarts = static_cast<std::uint32_t>(restarts.value_or(0));
  allocation.end_utc_ns = end_of_job(environment, allocation.job_id, tool);
  return allocation;
}

std::vector<Switch> read_slurm_topology(const SlurmTool& tool) {
  const auto text = tool({"scontrol", "show", "topology"});
  return text ? parse_topology(*text) : std::vector<Switch>{};
}

Environment environment_variables() {
  Environment environment;
  for (char** entry = ::environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    if (const std::size_t equals = text.find('='); equals != std::string_view::npos)
      environment.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  return environment;
}

std::optional<std::string> output_of_tool(const std::vector<std::string>& argv) {
  LOCKSTEP_EXPECT(!argv.empty(), "a command without a program");
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0)
    return std::nullopt;
  const UniqueFd read_end(ends[0]);
  UniqueFd write_end(ends[1]);
  posix_spawn_file_actions_t actions{};
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_adddup2(&actions, write_end.get(), STDOUT_FILENO);
  ::posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  std::vector<char*> words;
  words.reserve(argv.size() + 1);
  for (const std::string& word : argv)
    words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  pid_t pid = -1;
  const int error = ::posix_spawnp(&pid, words.front(), &actions, nullptr, words.data(), ::environ);
  ::posix_spawn_file_actions_destroy(&actions);
  if (error != 0)
    return std::nullopt;
  write_end.reset();
  const std::int64_t give_up_ns = monotonic_ns() + static_cast<std::int64_t>(kToolPatienceS * kNsPerS);
  std::optional<std::string> text = read_until_closed(read_end.get(), give_up_ns);
  if (!text)
    ::kill(pid, SIGKILL);
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
    return std::nullopt;
  return text;
}

}  // namespace lockstep::campaign
