#include "harness/campaign/schedule.hpp"

#include <string>

#include "harness/core/error.hpp"
#include "harness/core/text.hpp"

namespace lockstep::campaign {

std::vector<Launch> schedule(const plan::Plan& plan) {
  std::vector<Launch> launches;
  const auto legs = static_cast<std::uint32_t>(plan.legs.size());
  launches.reserve(std::size_t{legs} * plan.run.rounds);
  for (std::uint32_t round = 0; round < plan.run.rounds; ++round) {
    for (std::uint32_t i = 0; i < legs; ++i) {
      const std::uint32_t leg = round % 2 == 0 ? i : legs - 1 - i;
      const auto position = static_cast<std::uint32_t>(launches.size());
      launches.push_back({.index = position, .leg = leg, .round = round, .position = position});
    }
  }
  return launches;
}

record::LegRow leg_row(const plan::Plan& plan, const Launch& launch, std::uint32_t ranks) {
  LOCKSTEP_EXPECT(launch.leg < plan.legs.size(), "launch of a leg that the plan does not have");
  const plan::Leg& leg = plan.legs[launch.leg];
  std::vector<std::string> sites;
  sites.reserve(leg.sites.size());
  for (const SiteId site : leg.sites)
    sites.push_back(plan.sites[site.value()].name);
  record::LegRow row;
  row.leg = launch.index;
  row.name = leg.name;
  row.kind = plan::to_string(leg.kind);
  row.sites = join(sites, ",");
  row.round = launch.round;
  row.attempt = launch.attempt;
  row.first_step = launch.first_step;
  row.ranks = ranks;
  const plan::AttemptSteps steps = plan::attempt_steps(plan.run, launch.first_step);
  row.warmup_steps = steps.warmup;
  row.steps = steps.steady;
  row.launched_utc_ns = launch.launched_utc_ns;
  return row;
}

}  // namespace lockstep::campaign
