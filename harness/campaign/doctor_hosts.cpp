#include <algorithm>
#include <map>
#include <set>

#include <fmt/format.h>

#include "harness/campaign/finding.hpp"
#include "harness/campaign/survey_schedule.hpp"
#include "harness/campaign/survey_view.hpp"
#include "harness/core/cpu_set.hpp"
#include "harness/core/text.hpp"

namespace lockstep::campaign {
namespace {

/// A rank's TCP transport keeps up to two connections a peer, and some files.
constexpr std::uint64_t kFilesPerRank = 2;
constexpr std::uint64_t kSpareFiles = 64;

void find_silent(const DoctorInput& input, const SurveyView& view, std::vector<Finding>& found) {
  for (const SurveyedHost& host : input.survey.hosts) {
    if (host.facts && host.trouble.empty())
      continue;
    found.push_back(
        {.severity = Severity::error,
         .kind = host.facts ? "lost-host" : "no-answer",
         .hosts = {host.name},
         .sites = {view.site(host.site)},
         .what = fmt::format("host {} of site {} {}: {}", host.name, view.site(host.site),
                             host.facts ? "was lost in the middle of the survey" : "did not answer",
                             host.trouble.empty() ? "no reason is known" : host.trouble),
         .why = "a run would not start, or would hang where the launcher waits for it",
         .advice =
             "see that its name resolves, that the launcher can log in without a password, and that "
             "lockstep and the results folder are there under the same paths; or take it out of the plan"});
  }
}

void find_duplicates(const DoctorInput& input, std::vector<Finding>& found) {
  // The sites of a colocated plan are on one host by intention.
  if (input.plan.placement == plan::Placement::colocated)
    return;
  std::map<std::string, std::vector<std::string>> by_identity;
  for (const SurveyedHost& host : input.survey.hosts) {
    if (host.facts)
      by_identity[host.facts->boot_id + "/" + host.facts->network_namespace].push_back(host.name);
  }
  for (const auto& [identity, names] : by_identity) {
    if (names.size() < 2)
      continue;
    found.push_back({.severity = Severity::error,
                     .kind = "duplicate-host",
                     .hosts = names,
                     .sites = {},
                     .what = fmt::format("{} are one host (same boot and network namespace)", some_of(names)),
                     .why = "its cores would be counted once for each name, and paths between the names are "
                            "memory and no network",
                     .advice = "keep one name of it in the plan or the hostfile"});
  }
}

struct Machine {
  std::vector<std::string> hosts;
  std::set<std::uint32_t> sites;
  std::uint32_t slots = 0;
  CpuSet cpus;
  double load_average = 0.0;
  double cpu_limit = 0.0;  // the tightest cgroup's
};

/// Hosts by the kernel that they run on: hosts that are parts of one machine share its cores.
std::map<std::string, Machine> machines_of(const DoctorInput& input) {
  std::map<std::string, Machine> machines;
  for (const SurveyedHost& host : input.survey.hosts) {
    if (!host.facts)
      continue;
    Machine& machine = machines[host.facts->boot_id];
    // The sites of a colocated plan have one host.
    if (machine.hosts.empty() || machine.hosts.back() != host.name)
      machine.hosts.push_back(host.name);
    machine.load_average = std::max(machine.load_average, host.facts->load_average);
    machine.sites.insert(host.site.value());
    machine.slots += host.slots;
    if (const auto cpus = CpuSet::parse(host.facts->cpu_list))
      machine.cpus.add(*cpus);
    const double limit = host.facts->cgroup_cpus;
    if (limit > 0.0)
      machine.cpu_limit = machine.cpu_limit > 0.0 ? std::min(machine.cpu_limit, limit) : limit;
  }
  return machines;
}

void find_oversubscription(const DoctorInput& input, const Machine& machine, std::vector<Finding>& found) {
  const bool paced = input.plan.compute.backend == plan::ComputeBackend::paced;
  const auto cores = static_cast<double>(machine.cpus.size());
  const double usable = machine.cpu_limit > 0.0 ? std::min(cores, machine.cpu_limit) : cores;
  if (usable <= 0.0 || machine.slots <= usable)
    return;
  const std::string limited =
      machine.cpu_limit > 0.0 && machine.cpu_limit < cores
          ? fmt::format(" ({:.3g} cores are in the affinity mask, a cgroup allows {:.3g})", cores, usable)
          : " (affinity mask)";
  found.push_back(
      {.severity = paced ? Severity::note : Severity::error,
       .kind = "oversubscribed",
       .hosts = machine.hosts,
       .sites = {},
       .what = fmt::format("{} ranks on {:.3g} usable cores of {}{}", machine.slots, usable,
                           some_of(machine.hosts), limited),
       .why = paced ? "computing is a timed wait in this plan, so that only communication competes for cores"
                    : "ranks that compute would wait for each other's cores: the run would measure that and "
                      "not the sites",
       .advice = paced ? "keep messages small, or expect longer tails of the step time"
                       : "lower the sites' slots to the cores, or set compute.backend to \"paced\" (a "
                         "rehearsal)"});
}

void find_busy(const Machine& machine, std::vector<Finding>& found) {
  if (machine.load_average <= static_cast<double>(machine.cpus.size()))
    return;
  found.push_back(
      {.severity = Severity::warning,
       .kind = "busy-host",
       .hosts = machine.hosts,
       .sites = {},
       .what = fmt::format("{} busy before the run: load average over one minute {:.3g} on {} cores",
                           some_of(machine.hosts), machine.load_average, machine.cpus.size()),
       .why = "what else runs there takes cores from the ranks, and slows all others with them",
       .advice = "find what runs there and end it, or wait"});
}

void find_shared_machines(const DoctorInput& input, const SurveyView& view,
                          const std::map<std::string, Machine>& machines, std::vector<Finding>& found) {
  for (const auto& [boot, machine] : machines) {
    if (machine.sites.size() < 2)
      continue;
    std::vector<std::string> sites;
    for (const std::uint32_t site : machine.sites)
      sites.push_back(view.site(SiteId(site)));
    found.push_back(
        {.severity = Severity::note,
         .kind = "one-machine",
         .hosts = machine.hosts,
         .sites = sites,
         .what = fmt::format("sites {} share one machine (same boot of one kernel)", join(sites, ", ")),
         .why = input.plan.placement == plan::Placement::colocated
                    ? "a colocated plan is always a rehearsal"
                    : "what runs there is a rehearsal and certifies no hardware",
         .advice = "name hosts of the real sites in the plan to certify them"});
  }
}

void find_limits(const DoctorInput& input, std::vector<Finding>& found) {
  std::uint64_t ranks = 0;
  for (const SurveyedHost& host : input.survey.hosts)
    ranks += host.slots;
  const std::uint64_t needed = kFilesPerRank * ranks + kSpareFiles;
  std::vector<std::string> tight;
  std::uint64_t least = ~0ULL;
  for (const SurveyedHost& host : input.survey.hosts) {
    if (!host.facts)
      continue;
    if (host.facts->open_files > 0 && host.facts->open_files < needed) {
      tight.push_back(host.name);
      least = std::min(least, host.facts->open_files);
    }
  }
  if (!tight.empty()) {
    found.push_back({.severity = Severity::warning,
                     .kind = "open-files",
                     .hosts = tight,
                     .sites = {},
                     .what = fmt::format("only {} open files are allowed on {} (RLIMIT_NOFILE), for {} ranks",
                                         least, some_of(tight), ranks),
                     .why = "each rank may hold two connections to each other rank",
                     .advice = fmt::format("raise it to {} or more (ulimit -n, limits.conf)", needed)});
  }
}

void find_transport(const DoctorInput& input, const SurveyView& view, std::vector<Finding>& found) {
  const auto include = input.mca.find("btl_tcp_if_include");
  if (view.hosts().size() < 2)
    return;
  std::vector<std::string> without;
  for (const std::uint32_t i : view.hosts()) {
    if (transport_addresses(view.facts(i).addresses, input.mca).empty())
      without.push_back(view.host(i));
  }
  if (without.empty())
    return;
  found.push_back(
      {.severity = Severity::error,
       .kind = "no-address",
       .hosts = without,
       .sites = {},
       .what = include == input.mca.end()
                   ? fmt::format("{} has no address but loopback", some_of(without))
                   : fmt::format("{} has no address that btl_tcp_if_include = \"{}\" names", some_of(without),
                                 include->second),
       .why = "ranks there could not be reached by any other host",
       .advice = include == input.mca.end()
                     ? "bring its network up"
                     : "name a network in CIDR notation, which holds where interface names differ"});
}

}  // namespace

std::vector<Finding> host_findings(const DoctorInput& input) {
  const SurveyView view(input.plan, input.survey);
  std::vector<Finding> found;
  find_silent(input, view, found);
  find_duplicates(input, found);
  find_transport(input, view, found);
  const auto machines = machines_of(input);
  for (const auto& [boot, machine] : machines) {
    find_oversubscription(input, machine, found);
    find_busy(machine, found);
  }
  find_shared_machines(input, view, machines, found);
  find_limits(input, found);
  return found;
}

}  // namespace lockstep::campaign
