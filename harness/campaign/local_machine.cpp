#include "harness/campaign/local_machine.hpp"

#include <filesystem>
#include <fstream>
#include <string_view>

#include <fmt/format.h>

#include "harness/campaign/host_facts.hpp"
#include "harness/core/error.hpp"
#include "harness/core/text.hpp"

namespace lockstep::campaign {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kFewOpenFiles = 1024;

/// `Model: 		 NVIDIA H100` of each GPU that the driver lists.
std::vector<std::string> nvidia_gpus() {
  std::vector<std::string> gpus;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator("/proc/driver/nvidia/gpus", error)) {
    std::ifstream file(entry.path() / "information");
    for (std::string line; std::getline(file, line);) {
      constexpr std::string_view kModel = "Model:";
      if (line.starts_with(kModel))
        gpus.emplace_back(trim(std::string_view(line).substr(kModel.size())));
    }
  }
  return gpus;
}

}  // namespace

LocalMachine look_at_this_machine(const ProgramChoice& choice) {
  LocalMachine machine;
  try {
    machine.programs.launcher = find_launcher(choice.launcher);
  } catch (const RunError& error) {
    machine.launcher_problem = error.problem().one_line();
  }
  try {
    machine.programs.rank_program = find_rank_program(choice.rank_program);
  } catch (const RunError& error) {
    machine.rank_problem = error.problem().one_line();
  }
  machine.facts = gather_host_facts(machine.programs.launcher, machine.programs.rank_program);
  machine.gpus = nvidia_gpus();
  return machine;
}

std::vector<Finding> local_findings(const LocalMachine& machine) {
  std::vector<Finding> found;
  const std::string& host = machine.facts.host_name;
  const auto add = [&](Severity severity, const char* kind, std::string what, const char* why,
                       std::string advice) {
    found.push_back({.severity = severity,
                     .kind = kind,
                     .hosts = {host},
                     .sites = {},
                     .what = std::move(what),
                     .why = why,
                     .advice = std::move(advice)});
  };
  if (!machine.launcher_problem.empty()) {
    add(Severity::error, "no-launcher", machine.launcher_problem, "nothing can be launched from here",
        "install Open MPI 4.1 (scripts/setup does), or name mpirun with --launcher");
  }
  if (!machine.rank_problem.empty()) {
    add(Severity::error, "no-rank-program", machine.rank_problem, "it is what a run launches",
        "build it, or name it with --rank-program");
  }
  if (!machine.facts.missing_libraries.empty()) {
    add(Severity::error, "missing-library",
        fmt::format("lockstep-rank lacks {}", join(machine.facts.missing_libraries, ", ")),
        "the loader does not find them, so that no rank would start", "install them (scripts/setup does)");
  }
  if (machine.facts.load_average > machine.facts.usable_cpus) {
    add(Severity::warning, "busy-host",
        fmt::format("load average over one minute {:.3g} on {} cores", machine.facts.load_average,
                    machine.facts.usable_cpus),
        "what else runs here takes cores from the ranks", "find what runs here and end it, or wait");
  }
  if (machine.facts.clock_state == "not synchronised") {
    add(Severity::note, "clock-not-synchronised", "nothing steers this machine's clock (adjtimex)",
        "times of its logs and certificates drift by seconds a week", "run chrony or ntpd");
  }
  if (machine.facts.open_files > 0 && machine.facts.open_files < kFewOpenFiles) {
    add(Severity::warning, "open-files",
        fmt::format("only {} open files are allowed (RLIMIT_NOFILE)", machine.facts.open_files),
        "each rank may hold two connections to each other rank", "raise it (ulimit -n, limits.conf)");
  }
  if (!machine.lab_problem.empty()) {
    add(Severity::note, "no-lab", fmt::format("no lab can be made here: {}", machine.lab_problem),
        "wide-area links cannot be rehearsed on this machine", "see what is missing with lockstep lab check");
  }
  return found;
}

}  // namespace lockstep::campaign
