#include "harness/app/lockstep_hosts.hpp"

#include "harness/campaign/slurm_sites.hpp"
#include "harness/plan/load.hpp"

namespace lockstep::app {
namespace {

plan::Plan load_for_job(const PlanRequest& request, const campaign::SlurmAllocation& job) {
  if (!plan::lists_sites(request.plan)) {
    const auto network = campaign::read_slurm_topology(campaign::output_of_tool);
    return plan::load_plan(request.plan, request.sets, campaign::sites_of_topology(network, job.hosts));
  }
  plan::Plan plan = plan::load_plan(request.plan, request.sets);
  if (plan.placement == plan::Placement::colocated)
    return plan;
  std::vector<std::string> overrides = campaign::overrides_for_hosts(plan, job.hosts);
  if (overrides.empty())
    return plan;
  overrides.insert(overrides.end(), request.sets.begin(), request.sets.end());
  return plan::load_plan(request.plan, overrides);
}

}  // namespace

PlacedPlan place_plan(const PlanRequest& request) {
  PlacedPlan placed;
  placed.job = campaign::read_slurm_allocation(campaign::environment_variables(), campaign::output_of_tool);
  if (!request.hostfile.empty())
    placed.hostfile = campaign::read_hostfile(request.hostfile);
  placed.plan = placed.job && placed.hostfile.empty() ? load_for_job(request, *placed.job)
                                                      : plan::load_plan(request.plan, request.sets);
  return placed;
}

}  // namespace lockstep::app
