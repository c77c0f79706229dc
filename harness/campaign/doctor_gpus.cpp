#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "harness/campaign/finding.hpp"
#include "harness/campaign/survey_view.hpp"
#include "harness/core/cpu_set.hpp"
#include "harness/core/text.hpp"

namespace lockstep::campaign {
namespace {

/// A machine and the ranks that it gets: hosts of one kernel share its GPUs.
struct GpuMachine {
  std::vector<std::string> hosts;
  const HostFacts* facts = nullptr;
  std::uint32_t slots = 0;
};

std::vector<GpuMachine> machines_of(const Survey& survey) {
  std::map<std::string, GpuMachine> machines;
  for (const SurveyedHost& host : survey.hosts) {
    if (!host.facts)
      continue;
    GpuMachine& machine = machines[host.facts->boot_id];
    if (machine.hosts.empty() || machine.hosts.back() != host.name)
      machine.hosts.push_back(host.name);
    if (machine.facts == nullptr)
      machine.facts = &*host.facts;
    machine.slots += host.slots;
  }
  std::vector<GpuMachine> list;
  list.reserve(machines.size());
  for (auto& [boot, machine] : machines)
    list.push_back(std::move(machine));
  std::sort(list.begin(), list.end(),
            [](const GpuMachine& a, const GpuMachine& b) { return a.hosts < b.hosts; });
  return list;
}

/// Whether ranks can use GPUs there at all.
bool find_unusable(const GpuMachine& machine, std::vector<Finding>& found) {
  const HostFacts& facts = *machine.facts;
  const auto add = [&](const char* kind, std::string what, const char* why, const char* advice) {
    found.push_back({.severity = Severity::error,
                     .kind = kind,
                     .hosts = machine.hosts,
                     .sites = {},
                     .what = std::move(what),
                     .why = why,
                     .advice = advice});
  };
  if (facts.gpus.empty()) {
    add("no-gpu",
        fmt::format("no NVIDIA GPU on {} (PCI bus, /proc/driver/nvidia{})", some_of(machine.hosts),
                    facts.gpu_problem.empty() ? "" : "; " + facts.gpu_problem),
        "the plan computes or communicates by GPUs",
        "name hosts with GPUs, or set compute.backend and fabric.backend to what these hosts have");
    return false;
  }
  const auto driver = facts.software.find("NVIDIA driver");
  if (driver == facts.software.end() || driver->second.empty()) {
    add("no-gpu-driver",
        fmt::format("{} GPUs on {} and no NVIDIA driver (/proc/driver/nvidia/version)", facts.gpus.size(),
                    some_of(machine.hosts)),
        "no program can use them", "install or load the driver, or run where the container sees it");
    return false;
  }
  return true;
}

/// `shared`: the plan lets several ranks have one GPU.
void find_unequal_count(const GpuMachine& machine, bool shared, std::vector<Finding>& found) {
  const HostFacts& facts = *machine.facts;
  const std::size_t usable = facts.gpus_usable;
  if (usable == machine.slots || (shared && usable > 0 && usable < machine.slots))
    return;
  const std::string of_all = usable == facts.gpus.size()
                                 ? std::string()
                                 : fmt::format(" (of {}, by CUDA_VISIBLE_DEVICES)", facts.gpus.size());
  const bool few = usable < machine.slots;
  found.push_back(
      {.severity = few ? Severity::error : Severity::note,
       .kind = few ? "too-few-gpus" : "idle-gpus",
       .hosts = machine.hosts,
       .sites = {},
       .what = fmt::format("{} ranks and {} visible GPUs{} on {}", machine.slots, usable, of_all,
                           some_of(machine.hosts)),
       .why =
           few ? "ranks that share a GPU compute at a part of its rate, and NCCL refuses two of them on one"
               : "they are not measured: one rank uses one GPU",
       .advice = few ? "lower the sites' slots to the GPUs"
                     : "raise the sites' slots to the GPUs, if all are to be "
                       "certified"});
}

/// Cores that a batch system gave away from the GPUs that it gave.
void find_far_cores(const GpuMachine& machine, std::vector<Finding>& found) {
  const auto usable = CpuSet::parse(machine.facts->cpu_list);
  if (!usable || usable->empty())
    return;
  std::vector<std::string> far;
  std::string near;
  for (const HostGpu& gpu : machine.facts->gpus) {
    const auto cpus = CpuSet::parse(gpu.cpus);
    if (!gpu.visible || !cpus || cpus->empty() || !cpus->common(*usable).empty())
      continue;
    far.push_back(gpu.bus_id);
    near = gpu.cpus;
  }
  if (far.empty())
    return;
  found.push_back(
      {.severity = Severity::warning,
       .kind = "gpu-far-from-cores",
       .hosts = machine.hosts,
       .sites = {},
       .what = fmt::format("GPUs {} of {} are at CPUs {}, none of which may be used (affinity mask {})",
                           join(far, ", "), some_of(machine.hosts), near, machine.facts->cpu_list),
       .why = "every launch and copy of their ranks would cross the sockets",
       .advice =
           "ask for whole hosts (--exclusive), or for cores with the GPUs (--gres-flags=enforce-binding)"});
}

void find_visible_problem(const GpuMachine& machine, std::vector<Finding>& found) {
  if (machine.facts->gpu_problem.empty())
    return;
  found.push_back({.severity = Severity::warning,
                   .kind = "visible-devices",
                   .hosts = machine.hosts,
                   .sites = {},
                   .what = fmt::format("on {}: {}", some_of(machine.hosts), machine.facts->gpu_problem),
                   .why = "fewer GPUs are used than meant",
                   .advice = "correct CUDA_VISIBLE_DEVICES, or leave it to the batch system"});
}

}  // namespace

std::vector<Finding> gpu_findings(const DoctorInput& input) {
  std::vector<Finding> found;
  if (!plan::uses_gpus(input.plan))
    return found;
  for (const GpuMachine& machine : machines_of(input.survey)) {
    if (!find_unusable(machine, found))
      continue;
    find_unequal_count(machine, input.plan.fabric.share_gpu, found);
    find_far_cores(machine, found);
    find_visible_problem(machine, found);
  }
  return found;
}

}  // namespace lockstep::campaign
