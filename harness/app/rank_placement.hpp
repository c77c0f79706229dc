#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "harness/core/cpu_set.hpp"
#include "harness/cuda/driver_gpus.hpp"
#include "harness/placement/choose.hpp"
#include "harness/placement/compare.hpp"
#include "harness/placement/gpu_environment.hpp"
#include "harness/plan/plan.hpp"
#include "harness/topology/leg_topology.hpp"

namespace lockstep::app {

/// One line of what is recorded about a rank's place.
struct PlacementFact {
  std::string key;  ///< "placement.gpu" ...
  std::string value;
  bool operator==(const PlacementFact&) const = default;
};

/// The GPU that a rank takes, and what there is to say about it.
struct RankPlacement {
  placement::Choice choice;
  std::vector<placement::VisibleGpu> visible;  ///< that it could have taken
  std::string gpu_problem;                     ///< why no GPU is visible; else empty
  std::uint32_t slots = 0;                     ///< ranks that the host gets in any leg
  std::vector<PlacementFact> facts;
};

/// What a rank sees of its host.
struct HostSight {
  placement::HostMap map;
  cuda::DriverGpus driver;
  std::vector<placement::InstalledGpu> installed;
  placement::GpuEnvironment environment;
};
/// Asks hwloc, the NVIDIA driver and the environment. Throws RunError when hwloc cannot read the host.
[[nodiscard]] HostSight look_at_host();

/// The ranks of this rank's machine, in the order of the leg. Sites of a colocated plan share the machine:
/// each has its own places on it, in the order of the plan's sites, whichever leg runs.
[[nodiscard]] placement::LocalRanks local_ranks(const plan::Plan& plan, const plan::Leg& leg,
                                                const topology::RankOrder& order,
                                                const std::vector<topology::RankCard>& cards, RankId self);

/// Chooses; a pure function.
[[nodiscard]] RankPlacement place_rank(const HostSight& sight, const placement::LocalRanks& ranks);

/// Tells all ranks of the leg which GPU this one takes, and adds what only shows then to the warnings of its
/// machine's first rank. Collective; throws mpi::DeadlineError, mpi::MpiError.
void compare_places(RankPlacement& place, const topology::LegTopology& topology, double deadline_s);

/// Binds the calling thread to the CPUs near its GPU where the launcher left it unbound. Call it before
/// memory is allocated. Returns whether it did.
bool bind_near_gpu(const RankPlacement& place);

}  // namespace lockstep::app
