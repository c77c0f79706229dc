#pragma once

#include <cstdint>
#include <string>

#include "harness/lab/lab_folder.hpp"
#include "harness/lab/spec.hpp"

/// A real Slurm in a lab: munge and slurmctld on a login host, one slurmd on every other.
namespace lockstep::lab {

/// The host from which jobs are submitted; it is in the first site and no node of the cluster.
constexpr const char* kLoginHost = "login";

/// Adds the login host. Throws InputError when the specification uses its name.
void add_login_host(LabSpec& spec);

/// Where a lab's Slurm keeps its files; the configuration is slurm.conf in there.
[[nodiscard]] std::string slurm_folder(const LabFolder& folder);

/// slurm.conf: nodes with `cpus_per_host` CPUs, whatever the machine has, in one partition; sites are
/// switches.
[[nodiscard]] std::string slurm_conf(const LabSpec& spec, const LabFolder& folder,
                                     std::uint32_t cpus_per_host);
/// topology.conf: a switch for each site, and one above them.
[[nodiscard]] std::string topology_conf(const LabSpec& spec);

/// Starts it in a lab that is up and returns when every node is idle. Throws RunError with what is missing or
/// what a daemon said.
void start_slurm(const LabSpec& spec, const LabFolder& folder, std::uint32_t cpus_per_host);

}  // namespace lockstep::lab
