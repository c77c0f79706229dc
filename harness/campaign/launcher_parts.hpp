#pragma once

#include <string>
#include <vector>

#include "harness/campaign/launcher.hpp"

/// What the commands of all launchers share. Internal to this room.
namespace lockstep::campaign {

/// Whether ranks of this launch may be more than the cores that they run on.
[[nodiscard]] bool shares_cores(const plan::Plan& plan, const std::vector<HostSlots>& hosts,
                                std::uint32_t ranks, const Surroundings& surroundings);

/// The rank program with its arguments.
[[nodiscard]] std::vector<std::string> rank_command(const plan::Plan& plan, const Launch& launch,
                                                    const LaunchPaths& paths);

/// The plan's MCA parameters and those of the surroundings; the plan's come on top.
[[nodiscard]] std::map<std::string, std::string> mca_parameters(const plan::Plan& plan,
                                                                const Surroundings& surroundings);

/// srun's hosts as a file; see srun_command.
[[nodiscard]] bool srun_needs_hosts_file(const std::vector<HostSlots>& hosts);
[[nodiscard]] std::string srun_hosts_file_text(const std::vector<HostSlots>& hosts);

}  // namespace lockstep::campaign
