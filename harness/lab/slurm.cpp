#include "harness/lab/slurm.hpp"

#include <array>
#include <filesystem>
#include <fstream>
#include <vector>

#include <fmt/format.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "harness/core/clock.hpp"
#include "harness/core/error.hpp"
#include "harness/core/posix.hpp"
#include "harness/core/text.hpp"
#include "harness/lab/client.hpp"

namespace lockstep::lab {
namespace {

constexpr std::int64_t kStartLimitNs = 30'000'000'000;
constexpr std::int64_t kLookAgainNs = 200'000'000;

/// Hosts of a site but the login host.
std::vector<std::string> nodes_of(const LabSite& site) {
  std::vector<std::string> nodes = site.hosts;
  std::erase(nodes, kLoginHost);
  return nodes;
}

void write_munge_key(const std::string& path) {
  std::array<char, 128> key{};
  if (::getrandom(key.data(), key.size(), 0) != static_cast<ssize_t>(key.size()))
    throw RunError({.what = "no random numbers for munge's key", .why = {}, .suggestion = {}, .file = {}});
  write_text_file(path, std::string(key.data(), key.size()));
  if (::chmod(path.c_str(), S_IRUSR | S_IWUSR) != 0)
    throw RunError({.what = "cannot protect " + path, .why = {}, .suggestion = {}, .file = {}});
}

/// Runs a daemon's starter, which returns once the daemon runs on its own.
void start(const std::string& lab, const std::string& host, const std::vector<std::string>& argv) {
  const HostOutput output = capture_on_host(lab, host, argv);
  if (output.status != 0)
    throw RunError({.what = fmt::format("{} does not start on {}", argv.front(), host),
                    .why = output.text.empty() ? fmt::format("exit status {}", output.status)
                                               : std::string(trim(output.text)),
                    .suggestion = "install Debian's packages slurm-wlm and munge (scripts/setup does)",
                    .file = {}});
}

}  // namespace

void add_login_host(LabSpec& spec) {
  if (spec.has_host(kLoginHost))
    throw InputError({.what = fmt::format("a host of the lab is named \"{}\"", kLoginHost),
                      .why = "that is where jobs are submitted",
                      .suggestion = "rename it",
                      .file = spec.path});
  spec.sites.front().hosts.emplace_back(kLoginHost);
}

std::string slurm_folder(const LabFolder& folder) {
  return folder.path() + "/slurm";
}

std::string slurm_conf(const LabSpec& spec, const LabFolder& folder, std::uint32_t cpus_per_host) {
  const std::string base = slurm_folder(folder);
  const std::size_t login = spec.sites.front().hosts.size() - 1;
  std::string nodes;
  for (std::size_t site = 0; site < spec.sites.size(); ++site) {
    for (std::size_t i = 0; i < spec.sites[site].hosts.size(); ++i) {
      const std::string& host = spec.sites[site].hosts[i];
      if (host != kLoginHost)
        nodes += fmt::format("NodeName={} NodeAddr={} CPUs={} State=UNKNOWN\n", host, address_of(site, i),
                             cpus_per_host);
    }
  }
  // config_overrides: a node may have more CPUs than the machine. cred_expire: a requeued job may begin again
  // after that long; the default is two minutes.
  return fmt::format(R"(ClusterName={0}
SlurmctldHost={1}({2})
SlurmctldPidFile={3}/slurmctld.pid
SlurmctldLogFile={3}/log/slurmctld.log
StateSaveLocation={3}/state
SlurmdSpoolDir={3}/spool/%n
SlurmdPidFile={3}/slurmd-%n.pid
SlurmdLogFile={3}/log/slurmd-%n.log
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={3}/munge.socket,cred_expire=5
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=2,sched_interval=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
TopologyPlugin=topology/tree
ReturnToService=2
{4}PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
)",
                     folder.name(), kLoginHost, address_of(0, login), base, nodes);
}

std::string topology_conf(const LabSpec& spec) {
  std::string text;
  std::vector<std::string> switches;
  for (const LabSite& site : spec.sites) {
    text += fmt::format("SwitchName={} Nodes={}\n", site.name, join(nodes_of(site), ","));
    switches.push_back(site.name);
  }
  return text + fmt::format("SwitchName=wan Switches={}\n", join(switches, ","));
}

void start_slurm(const LabSpec& spec, const LabFolder& folder, std::uint32_t cpus_per_host) {
  const std::string base = slurm_folder(folder);
  std::error_code error;
  for (const char* part : {"/state", "/spool", "/log"})
    std::filesystem::create_directories(base + part, error);
  if (error)
    throw RunError({.what = "cannot make " + base, .why = error.message(), .suggestion = {}, .file = {}});
  // munged wants everyone to reach its socket.
  ::chmod(folder.path().c_str(), S_IRWXU | S_IXGRP | S_IXOTH);
  ::chmod(base.c_str(), S_IRWXU | S_IRGRP | S_IXGRP | S_IROTH | S_IXOTH);
  write_munge_key(base + "/munge.key");
  write_text_file(base + "/topology.conf", topology_conf(spec));
  // The plugin that talks to systemd is not for hosts without one.
  write_text_file(base + "/cgroup.conf", "IgnoreSystemd=yes\nCgroupPlugin=autodetect\n");
  // The last: what is there tells the lab that a Slurm is.
  write_text_file(base + "/slurm.conf", slurm_conf(spec, folder, cpus_per_host));

  const std::string& lab = folder.name();
  start(lab, kLoginHost,
        {"/usr/sbin/munged", "--force", "--socket=" + base + "/munge.socket",
         "--key-file=" + base + "/munge.key", "--pid-file=" + base + "/munged.pid",
         "--seed-file=" + base + "/munged.seed", "--log-file=" + base + "/log/munged.log"});
  start(lab, kLoginHost, {"/usr/sbin/slurmctld"});
  std::size_t nodes = 0;
  for (const LabSite& site : spec.sites) {
    for (const std::string& host : nodes_of(site)) {
      start(lab, host, {"/usr/sbin/slurmd"});
      ++nodes;
    }
  }
  const std::int64_t limit_ns = monotonic_ns() + kStartLimitNs;
  std::string idle;
  while (idle != std::to_string(nodes)) {
    if (monotonic_ns() > limit_ns)
      throw RunError(
          {.what = fmt::format("Slurm has {} idle nodes of {} after 30 s", idle.empty() ? "0" : idle, nodes),
           .why = {},
           .suggestion = "its logs are in " + base + "/log",
           .file = {}});
    sleep_until_ns(monotonic_ns() + kLookAgainNs);
    idle =
        std::string(trim(capture_on_host(lab, kLoginHost, {"sinfo", "-h", "-t", "idle", "-o", "%D"}).text));
  }
}

}  // namespace lockstep::lab
