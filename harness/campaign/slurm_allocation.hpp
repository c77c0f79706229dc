#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "harness/campaign/hosts.hpp"
#include "harness/campaign/slurm_text.hpp"

namespace lockstep::campaign {

/// The Slurm job that this process runs in.
struct SlurmAllocation {
  std::string job_id;
  std::vector<HostSlots> hosts;            ///< in Slurm's order, with the tasks that it gives to each
  std::uint32_t restarts = 0;              ///< how often the job was requeued
  std::optional<std::int64_t> end_utc_ns;  ///< when Slurm will end it; nullopt: no limit, or not known
};

/// Runs one of Slurm's commands; its standard output, or nullopt when it failed.
using SlurmTool = std::function<std::optional<std::string>(const std::vector<std::string>& argv)>;

/// From the variables that Slurm sets in a job (as name -> value). nullopt outside of one. The slots of a
/// host are its tasks (SLURM_TASKS_PER_NODE, what mpirun goes by too, else SLURM_NTASKS_PER_NODE, else its
/// CPUs); the end is SLURM_JOB_END_TIME where Slurm sets it, else the time left as squeue tells it. Throws
/// InputError when the variables contradict each other.
[[nodiscard]] std::optional<SlurmAllocation> read_slurm_allocation(
    const std::map<std::string, std::string>& environment, const SlurmTool& tool);

/// The network as `scontrol show topology` tells it; empty when it tells nothing.
[[nodiscard]] std::vector<Switch> read_slurm_topology(const SlurmTool& tool);

/// This process's environment.
[[nodiscard]] std::map<std::string, std::string> environment_variables();

/// Runs a command found in PATH and waits for it, 15 s at most.
[[nodiscard]] std::optional<std::string> output_of_tool(const std::vector<std::string>& argv);

}  // namespace lockstep::campaign
