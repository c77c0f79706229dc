#pragma once

#include <optional>
#include <vector>

#include "harness/app/lockstep_commands.hpp"
#include "harness/campaign/hosts.hpp"
#include "harness/campaign/slurm_allocation.hpp"
#include "harness/plan/plan.hpp"

namespace lockstep::app {

/// A plan as it is launched from here.
struct PlacedPlan {
  plan::Plan plan;
  std::vector<campaign::HostSlots> hostfile;     ///< empty: the hosts are the plan's
  std::optional<campaign::SlurmAllocation> job;  ///< that this process runs in
};

/// Reads the plan and settles its hosts: those of --hostfile, else of the Slurm job that this process runs
/// in, else the plan's own. A job's hosts and slots become part of the plan, as --set would make them (what
/// the user sets comes on top); a plan without a [[site]] gets its sites from Slurm's network. Throws
/// InputError.
[[nodiscard]] PlacedPlan place_plan(const PlanRequest& request);

}  // namespace lockstep::app
