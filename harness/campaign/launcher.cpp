#include "harness/campaign/launcher.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <optional>

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness/core/error.hpp"
#include "harness/core/posix.hpp"
#include "harness/core/text.hpp"

namespace lockstep::campaign {
namespace {

bool names_option(const std::vector<std::string>& arguments, std::string_view option) {
  return std::any_of(arguments.begin(), arguments.end(), [option](std::string_view argument) {
    while (argument.starts_with('-'))
      argument.remove_prefix(1);
    return argument == option;
  });
}

std::string host_list(const std::vector<HostSlots>& hosts) {
  std::vector<std::string> parts;
  parts.reserve(hosts.size());
  for (const HostSlots& host : hosts)
    parts.push_back(fmt::format("{}:{}", host.host, host.slots));
  return join(parts, ",");
}

bool is_executable_file(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode) && ::access(path.c_str(), X_OK) == 0;
}

std::optional<std::string> find_in_path(const std::string& name) {
  const char* path = std::getenv("PATH");
  for (const std::string& folder : split(path != nullptr ? path : "/usr/local/bin:/usr/bin:/bin", ':')) {
    std::string candidate = (folder.empty() ? "." : folder) + "/" + name;
    if (is_executable_file(candidate))
      return candidate;
  }
  return std::nullopt;
}

std::string beside_this_program(const char* name) {
  std::error_code error;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", error);
  return error ? std::string(name) : (self.parent_path() / name).string();
}

}  // namespace

Surroundings this_machine() {
  return {.usable_cpus = static_cast<std::uint32_t>(usable_cpus()),
          .is_root = ::geteuid() == 0,
          .emulated_hosts = false,
          .mca = {}};
}

Command mpirun_command(const plan::Plan& plan, const Launch& launch, const std::vector<HostSlots>& hosts,
                       const LaunchPaths& paths, const Surroundings& surroundings) {
  LOCKSTEP_EXPECT(launch.leg < plan.legs.size(), "launch of a leg that the plan does not have");
  const plan::Leg& leg = plan.legs[launch.leg];
  const std::uint32_t ranks = ranks_of_leg(plan, leg, hosts);
  const bool colocated = plan.placement == plan::Placement::colocated;
  // Several names may stand for this one machine: then its cores are all there are.
  const bool only_this_machine =
      !colocated && std::all_of(hosts.begin(), hosts.end(), [](const HostSlots& host) {
        return host.host == "localhost" || host.host == short_host_name();
      });
  const bool shares_cores =
      colocated || surroundings.emulated_hosts || (only_this_machine && ranks > surroundings.usable_cpus);

  Command command;
  command.argv = paths.launcher_prefix;
  const auto add = [&command](std::initializer_list<std::string> words) {
    command.argv.insert(command.argv.end(), words);
  };
  add({paths.launcher, "-np", std::to_string(ranks)});
  if (!colocated && hosts.size() <= kMaxListedHosts)
    add({"--host", host_list(hosts)});
  else if (!colocated)
    add({"--hostfile", paths.hosts_file});
  const auto& own = plan.mpi.mpirun_args;
  if (shares_cores && !names_option(own, "oversubscribe") && !names_option(own, "nooversubscribe"))
    add({"--oversubscribe"});
  if (!names_option(own, "bind-to") && !names_option(own, "map-by"))
    add({"--bind-to", shares_cores ? "none" : "socket"});
  std::map<std::string, std::string> mca = plan.mpi.mca;
  mca.insert(surroundings.mca.begin(), surroundings.mca.end());
  for (const auto& [key, value] : mca)
    add({"--mca", key, value});
  command.argv.insert(command.argv.end(), own.begin(), own.end());
  add({paths.rank_program, "--plan", paths.plan_file, "--leg", leg.name, "--leg-index",
       std::to_string(launch.index), "--round", std::to_string(launch.round), "--attempt",
       std::to_string(launch.attempt), "--journals", paths.journals_folder, "--launched-by-controller"});
  if (surroundings.is_root)
    command.environment = {{"OMPI_ALLOW_RUN_AS_ROOT", "1"}, {"OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"}};
  return command;
}

std::string hosts_file_text(const std::vector<HostSlots>& hosts) {
  std::string text;
  for (const HostSlots& host : hosts)
    text += fmt::format("{} slots={}\n", host.host, host.slots);
  return text;
}

std::string shell_line(const Command& command) {
  constexpr std::string_view kPlain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:,=+@%^";
  std::vector<std::string> words;
  for (const EnvironmentVariable& variable : command.environment)
    words.push_back(variable.name + "=" + variable.value);
  for (const std::string& word : command.argv) {
    if (!word.empty() && word.find_first_not_of(kPlain) == std::string::npos) {
      words.push_back(word);
      continue;
    }
    std::string quoted = "'";
    for (const char c : word)
      quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
    words.push_back(quoted + "'");
  }
  return join(words, " ");
}

std::string find_launcher(const std::string& chosen) {
  const std::string launcher = chosen.empty() ? "mpirun" : chosen;
  std::string found = launcher;
  if (launcher.find('/') == std::string::npos)
    found = find_in_path(launcher).value_or("");
  if (found.empty() || !is_executable_file(found)) {
    Problem problem{
        .what = "the launcher " + launcher + " cannot be executed",
        .why = launcher.find('/') == std::string::npos ? "it is not in PATH" : "there is no such program",
        .suggestion = "install Open MPI (scripts/setup does), or name the program with --launcher",
        .file = {}};
    if (chosen.empty())
      throw RunError(std::move(problem));
    throw InputError(std::move(problem));
  }
  return std::filesystem::absolute(found).string();
}

std::string find_rank_program(const std::string& chosen) {
  const std::string program = chosen.empty() ? beside_this_program("lockstep-rank") : chosen;
  if (!is_executable_file(program)) {
    Problem problem{.what = "the rank program " + program + " cannot be executed",
                    .why = "there is no such program",
                    .suggestion = "build it, or name it with --rank-program",
                    .file = {}};
    if (chosen.empty())
      throw RunError(std::move(problem));
    throw InputError(std::move(problem));
  }
  return std::filesystem::absolute(program).string();
}

Programs find_programs(const ProgramChoice& choice) {
  return {.launcher = find_launcher(choice.launcher), .rank_program = find_rank_program(choice.rank_program)};
}

}  // namespace lockstep::campaign
