#include <algorithm>

#include <fmt/format.h>

#include "harness/campaign/launcher_parts.hpp"
#include "harness/core/error.hpp"
#include "harness/core/text.hpp"

namespace lockstep::campaign {
namespace {

std::string name_list(const std::vector<HostSlots>& hosts) {
  std::vector<std::string> names;
  names.reserve(hosts.size());
  for (const HostSlots& host : hosts)
    names.push_back(host.host);
  return join(names, ",");
}

}  // namespace

bool srun_needs_hosts_file(const std::vector<HostSlots>& hosts) {
  return hosts.size() > kMaxListedHosts ||
         std::any_of(hosts.begin(), hosts.end(),
                     [&hosts](const HostSlots& host) { return host.slots != hosts.front().slots; });
}

std::string srun_hosts_file_text(const std::vector<HostSlots>& hosts) {
  std::string text;
  for (const HostSlots& host : hosts) {
    for (std::uint32_t slot = 0; slot < host.slots; ++slot)
      text += host.host + "\n";
  }
  return text;
}

Command srun_command(const plan::Plan& plan, const Launch& launch, const std::vector<HostSlots>& hosts,
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
  add({paths.launcher, "--mpi=pmix", "--overlap", "--kill-on-bad-exit=1", fmt::format("--ntasks={}", ranks),
       fmt::format("--nodes={}", colocated ? 1 : hosts.size())});
  if (colocated && !surroundings.slurm_host.empty()) {
    add({"--nodelist=" + surroundings.slurm_host});
  } else if (!colocated && srun_needs_hosts_file(hosts)) {
    add({"--distribution=arbitrary"});
    command.environment.push_back({"SLURM_HOSTFILE", paths.hosts_file});
  } else if (!colocated) {
    add({fmt::format("--ntasks-per-node={}", hosts.front().slots), "--nodelist=" + name_list(hosts),
         "--distribution=block"});
  }
  if (crowded)
    add({"--overcommit"});
  add({crowded ? "--cpu-bind=none" : "--cpu-bind=sockets"});
  for (const auto& [key, value] : mca_parameters(plan, surroundings))
    command.environment.push_back({"OMPI_MCA_" + key, value});
  const std::vector<std::string> rank = rank_command(plan, launch, paths);
  command.argv.insert(command.argv.end(), rank.begin(), rank.end());
  return command;
}

}  // namespace lockstep::campaign
