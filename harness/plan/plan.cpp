#include "harness/plan/plan.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "harness/core/error.hpp"
#include "harness/plan/hosts.hpp"

namespace lockstep::plan {

const char* to_string(Grade grade) {
  switch (grade) {
    case Grade::a_plus:
      return "A+";
    case Grade::a:
      return "A";
    case Grade::b:
      return "B";
    case Grade::c:
      return "C";
    case Grade::d:
      return "D";
    case Grade::inconclusive:
      return "I";
  }
  LOCKSTEP_EXPECT(false, "no such grade");
}

const char* to_string(ComputeBackend backend) {
  switch (backend) {
    case ComputeBackend::cpu:
      return "cpu";
    case ComputeBackend::paced:
      return "paced";
    case ComputeBackend::cuda:
      return "cuda";
  }
  LOCKSTEP_EXPECT(false, "no such compute backend");
}

const char* to_string(FabricBackend backend) {
  switch (backend) {
    case FabricBackend::mpi:
      return "mpi";
    case FabricBackend::nccl:
      return "nccl";
    case FabricBackend::cuda_aware:
      return "cuda-aware";
    case FabricBackend::host_staged:
      return "host-staged";
  }
  LOCKSTEP_EXPECT(false, "no such fabric backend");
}

const char* to_string(AllReduce all_reduce) {
  switch (all_reduce) {
    case AllReduce::flat:
      return "flat";
    case AllReduce::hierarchical:
      return "hierarchical";
  }
  LOCKSTEP_EXPECT(false, "no such all-reduce");
}

const char* to_string(WorkloadDtype dtype) {
  switch (dtype) {
    case WorkloadDtype::f32:
      return "f32";
    case WorkloadDtype::tf32:
      return "tf32";
    case WorkloadDtype::bf16:
      return "bf16";
    case WorkloadDtype::f16:
      return "f16";
    case WorkloadDtype::fp8:
      return "fp8";
  }
  LOCKSTEP_EXPECT(false, "no such dtype of a workload");
}

const char* to_string(GraphCapture capture) {
  switch (capture) {
    case GraphCapture::automatic:
      return "auto";
    case GraphCapture::off:
      return "off";
    case GraphCapture::on:
      return "on";
  }
  LOCKSTEP_EXPECT(false, "no such way to capture");
}

const char* to_string(Progress progress) {
  switch (progress) {
    case Progress::automatic:
      return "auto";
    case Progress::spin:
      return "spin";
    case Progress::backoff:
      return "backoff";
  }
  LOCKSTEP_EXPECT(false, "no such progress mode");
}

const char* to_string(Placement placement) {
  switch (placement) {
    case Placement::by_host:
      return "by_host";
    case Placement::colocated:
      return "colocated";
  }
  LOCKSTEP_EXPECT(false, "no such placement");
}

const char* to_string(LegKind kind) {
  switch (kind) {
    case LegKind::baseline:
      return "baseline";
    case LegKind::joint:
      return "joint";
  }
  LOCKSTEP_EXPECT(false, "no such kind of leg");
}

const char* to_string(RestartPolicy policy) {
  switch (policy) {
    case RestartPolicy::stop:
      return "stop";
    case RestartPolicy::same:
      return "same";
    case RestartPolicy::exclude:
      return "exclude";
    case RestartPolicy::spare:
      return "spare";
  }
  LOCKSTEP_EXPECT(false, "no such restart policy");
}

const char* to_string(DrillKind kind) {
  switch (kind) {
    case DrillKind::kill:
      return "kill";
    case DrillKind::crash:
      return "crash";
    case DrillKind::abort:
      return "abort";
    case DrillKind::stop:
      return "stop";
    case DrillKind::slow:
      return "slow";
    case DrillKind::hang:
      return "hang";
    case DrillKind::flip:
      return "flip";
    case DrillKind::fill:
      return "fill";
    case DrillKind::cut:
      return "cut";
    case DrillKind::degrade:
      return "degrade";
    case DrillKind::lose:
      return "lose";
  }
  LOCKSTEP_EXPECT(false, "no such kind of drill");
}

std::string target_text(const Drill& drill) {
  if (drill.rank)
    return fmt::format("rank {}", *drill.rank);
  if (!drill.host.empty())
    return "host " + drill.host;
  if (!drill.site.empty())
    return "site " + drill.site;
  return drill.between[0] + (drill.one_way ? " -> " : " - ") + drill.between[1];
}

AttemptSteps attempt_steps(const Run& run, std::uint32_t first_step) {
  const std::uint32_t all = run.warmup_steps + run.steps;
  LOCKSTEP_EXPECT(first_step < all, "an attempt that has no step left");
  const std::uint32_t left = all - first_step;
  const std::uint32_t warmup = std::min(run.warmup_steps, left - 1);
  return {warmup, left - warmup};
}

std::optional<std::uint32_t> declared_ranks(const Plan& plan, SiteId site) {
  LOCKSTEP_EXPECT(site.value() < plan.sites.size(), "the site is not in this plan");
  const Site& declared = plan.sites[site.value()];
  if (plan.placement == Placement::colocated)
    return declared.slots;
  std::uint32_t hosts = 0;
  for (const HostEntry& entry : parse_hosts(declared.hosts)) {
    if (!entry.is_single_host)
      return std::nullopt;
    ++hosts;
  }
  return hosts * declared.slots;
}

std::optional<std::uint32_t> declared_ranks(const Plan& plan, const Leg& leg) {
  std::uint32_t ranks = 0;
  for (const SiteId site : leg.sites) {
    const std::optional<std::uint32_t> more = declared_ranks(plan, site);
    if (!more)
      return std::nullopt;
    ranks += *more;
  }
  return ranks;
}

bool sends_from_gpu(FabricBackend backend) {
  return backend != FabricBackend::mpi;
}

bool uses_gpus(const Plan& plan) {
  return plan.compute.backend == ComputeBackend::cuda || sends_from_gpu(plan.fabric.backend);
}

std::vector<std::string> rehearsal_reasons(const Plan& plan) {
  std::vector<std::string> reasons;
  if (plan.compute.backend == ComputeBackend::paced)
    reasons.emplace_back("compute was paced: a timed wait stood in for every matrix product");
  if (plan.fabric.share_gpu)
    reasons.emplace_back(
        "several ranks may have shared a GPU: NCCL then talks through sockets inside a host");
  if (plan.placement == Placement::colocated)
    reasons.emplace_back("the sites were colocated: all ranks ran on one machine");
  return reasons;
}

}  // namespace lockstep::plan
