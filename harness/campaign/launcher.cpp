#include "harness/campaign/launcher.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <optional>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness/campaign/launcher_parts.hpp"
#include "harness/core/error.hpp"
#include "harness/core/lab_variable.hpp"
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
  const char* job = std::getenv("SLURM_JOB_ID");
  const char* slurm_host = std::getenv("SLURMD_NODENAME");
  return {.usable_cpus = static_cast<std::uint32_t>(usable_cpus()),
          .is_root = ::geteuid() == 0,
          .emulated_hosts = std::getenv(kLabVariable) != nullptr,
          .mca = {},
          .in_slurm_job = job != nullptr,
          .slurm_host = slurm_host != nullptr ? slurm_host : ""};
}

bool shares_cores(const plan::Plan& plan, const std::vector<HostSlots>& hosts, std::uint32_t ranks,
                  const Surroundings& surroundings) {
  if (plan.placement == plan::Placement::colocated || surroundings.emulated_hosts)
    return true;
  // Several names may stand for this one machine: then its cores are all there are.
  const bool only_this_machine = std::all_of(hosts.begin(), hosts.end(), [](const HostSlots& host) {
    return host.host == "localhost" || host.host == short_host_name();
  });
  return only_this_machine && ranks > surroundings.usable_cpus;
}

std::vector<std::string> rank_command(const plan::Plan& plan, const Launch& launch,
                                      const LaunchPaths& paths) {
  std::vector<std::string> command{paths.rank_program,
                                   "--plan",
                                   paths.plan_file,
                                   "--leg",
                                   plan.legs[launch.leg].name,
                                   "--leg-index",
                                   std::to_string(launch.index),
                                   "--round",
                                   std::to_string(launch.round),
                                   "--attempt",
                                   std::to_string(launch.attempt),
                                   "--journals",
                                   paths.journals_folder};
  const auto add = [&command](const char* option, std::string value) {
    command.emplace_back(option);
    command.push_back(std::move(value));
  };
  if (launch.launched_utc_ns > 0)
    add("--launched-utc-ns", std::to_string(launch.launched_utc_ns));
  if (launch.first_step > 0)
    add("--first-step", std::to_string(launch.first_step));
  const auto add_list = [&add](const char* option, const std::vector<std::uint32_t>& numbers) {
    if (!numbers.empty())
      add(option, fmt::format("{}", fmt::join(numbers, ",")));
  };
  add_list("--drills", launch.rank_drills);
  add_list("--ranks-per-site", launch.ranks_per_site);
  command.emplace_back("--launched-by-controller");
  return command;
}

std::map<std::string, std::string> mca_parameters(const plan::Plan& plan, const Surroundings& surroundings) {
  std::map<std::string, std::string> mca = plan.mpi.mca;
  mca.insert(surroundings.mca.begin(), surroundings.mca.end());
  return mca;
}

LauncherKind launcher_kind(const std::string& launcher) {
  return std::filesystem::path(launcher).filename() == "srun" ? LauncherKind::srun : LauncherKind::mpirun;
}

Command launch_command(const plan::Plan& plan, const Launch& launch, const std::vector<HostSlots>& hosts,
                       const LaunchPaths& paths, const Surroundings& surroundings) {
  switch (launcher_kind(paths.launcher)) {
    case LauncherKind::srun:
      return srun_command(plan, launch, hosts, paths, surroundings);
    case LauncherKind::mpirun:
      break;
  }
  return mpirun_command(plan, launch, hosts, paths, surroundings);
}

void check_launcher(const plan::Plan& plan, const std::string& launcher, const Surroundings& surroundings) {
  if (launcher_kind(launcher) != LauncherKind::srun)
    return;
  if (!surroundings.in_slurm_job) {
    throw InputError({.what = "srun launches inside a Slurm job only",
                      .why = "outside of one every launch would wait in the queue by itself",
                      .suggestion = "submit one of scripts/slurm with sbatch, or use mpirun",
                      .file = {}});
  }
  if (!plan.mpi.mpirun_args.empty()) {
    throw InputError({.what = "the plan has mpi.mpirun_args, and the launcher is srun",
                      .why = "they are options of mpirun",
                      .suggestion = "remove them (mpi.mca is used by both), or use mpirun",
                      .file = plan.path});
  }
}

Command mpirun_command(const plan::Plan& plan, const Launch& launch, const std::vector<HostSlots>& hosts,
                       const LaunchPaths& paths, const Surroundings& surroundings) {
  LOCKSTEP_EXPECT(launch.leg < plan.legs.size(), "launch of a leg that the plan does not have");
  const std::uint32_t ranks = ranks_of_leg(plan, plan.legs[launch.leg], hosts);
  const bool colocated = plan.placement == plan::Placement::colocated;
  const bool crowded = shares_cores(plan, hosts, ranks, surroundings);

  Command command;
  command.argv = paths.launcher_prefix;
  const auto add = [&command](std::initializer_list<std::string> words) {
    command.argv.insert(command.argv.end(), words);
  };
  add({paths.launcher, "-np", std::to_string(ranks)});
  if (colocated && !surroundings.slurm_host.empty())
    add({"--host", host_list({{surroundings.slurm_host, ranks}})});
  else if (!colocated && hosts.size() <= kMaxListedHosts)
    add({"--host", host_list(hosts)});
  else if (!colocated)
    add({"--hostfile", paths.hosts_file});
  const auto& own = plan.mpi.mpirun_args;
  if (crowded && !names_option(own, "oversubscribe") && !names_option(own, "nooversubscribe"))
    add({"--oversubscribe"});
  if (!names_option(own, "bind-to") && !names_option(own, "map-by"))
    add({"--bind-to", crowded ? "none" : "socket"});
  for (const auto& [key, value] : mca_parameters(plan, surroundings))
    add({"--mca", key, value});
  command.argv.insert(command.argv.end(), own.begin(), own.end());
  const std::vector<std::string> rank = rank_command(plan, launch, paths);
  command.argv.insert(command.argv.end(), rank.begin(), rank.end());
  if (surroundings.is_root)
    command.environment = {{"OMPI_ALLOW_RUN_AS_ROOT", "1"}, {"OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"}};
  return command;
}

std::string hosts_file_text(const std::string& launcher, const std::vector<HostSlots>& hosts) {
  if (launcher_kind(launcher) == LauncherKind::srun)
    return srun_needs_hosts_file(hosts) ? srun_hosts_file_text(hosts) : std::string();
  std::string text;
  if (hosts.size() > kMaxListedHosts) {
    for (const HostSlots& host : hosts)
      text += fmt::format("{} slots={}\n", host.host, host.slots);
  }
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
