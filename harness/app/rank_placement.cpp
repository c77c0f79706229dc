#include "harness/app/rank_placement.hpp"

#include <algorithm>
#include <cstdlib>

#include <fmt/format.h>
#include <sched.h>

#include "harness/mpi/collect.hpp"
#include "harness/placement/read_host.hpp"

namespace lockstep::app {
namespace {

/// Ranks of one kernel share its GPUs, whatever their hosts are called.
std::string machine_of(const topology::RankCard& card) {
  return card.boot_id.empty() ? card.host : card.boot_id;
}

std::vector<placement::VisibleGpu> visible_to_cuda(const HostSight& sight) {
  std::vector<placement::VisibleGpu> visible;
  for (const cuda::DriverGpu& gpu : sight.driver.gpus) {
    visible.push_back(
        {gpu.ordinal, placement::normal_bus_id(gpu.bus_id), placement::full_uuid(sight.installed, gpu.uuid)});
  }
  return visible;
}

void add_facts(const HostSight& sight, const placement::LocalRanks& ranks, const std::string& note,
               RankPlacement& place) {
  const auto add = [&place](const char* key, std::string value) {
    if (!value.empty())
      place.facts.push_back({key, std::move(value)});
  };
  const CpuSet& own = ranks.cpus[ranks.self];
  add("placement.cpus", own.text());
  add("placement.sockets", placement::groups_of(sight.map.packages, own));
  add("placement.numa_nodes", placement::groups_of(sight.map.numa_nodes, own));
  add("placement.gpus_visible", std::to_string(place.visible.size()));
  add("placement.gpus_note", note);
  if (place.choice.gpu) {
    add("placement.gpu", fmt::format("{} ({})", place.choice.gpu->ordinal, place.choice.gpu->bus_id));
    add("placement.gpu_uuid", place.choice.gpu->uuid);
    add("placement.gpu_cpus", place.choice.near.text());
    add("placement.gpu_numa_nodes",
        place.choice.near.empty() ? "" : placement::groups_of(sight.map.numa_nodes, place.choice.near));
    add("placement.gpu_nics", place.choice.nics);
  }
  add("placement.gpu_reason", place.choice.gpu ? place.choice.reason : place.gpu_problem);
}

}  // namespace

HostSight look_at_host() {
  return {placement::read_this_host(), cuda::driver_gpus(), placement::installed_gpus(),
          placement::gpu_environment([](const char* name) { return std::getenv(name); })};
}

placement::LocalRanks local_ranks(const plan::Plan& plan, const plan::Leg& leg,
                                  const topology::RankOrder& order,
                                  const std::vector<topology::RankCard>& cards, RankId self) {
  const std::string machine = machine_of(cards[self.value()]);
  placement::LocalRanks ranks;
  for (std::size_t rank = 0; rank < cards.size(); ++rank) {
    if (machine_of(cards[rank]) != machine)
      continue;
    if (rank == self.value())
      ranks.self = ranks.cpus.size();
    ranks.cpus.push_back(CpuSet::parse(cards[rank].cores).value_or(CpuSet{}));
  }
  ranks.slot = static_cast<std::uint32_t>(ranks.self);
  ranks.slots = static_cast<std::uint32_t>(ranks.cpus.size());
  if (plan.placement != plan::Placement::colocated)
    return ranks;
  ranks.slot = self.value();
  ranks.slots = 0;
  for (std::size_t i = 0; i < leg.sites.size() && leg.sites[i] != order.site[self.value()]; ++i)
    ranks.slot -= order.ranks_per_site[i];
  for (std::uint32_t site = 0; site < plan.sites.size(); ++site) {
    if (SiteId(site) < order.site[self.value()])
      ranks.slot += plan.sites[site].slots;
    ranks.slots += plan.sites[site].slots;
  }
  return ranks;
}

RankPlacement place_rank(const HostSight& sight, const placement::LocalRanks& ranks) {
  RankPlacement place;
  place.slots = ranks.slots;
  placement::SlurmShare share = placement::slurm_share(visible_to_cuda(sight), sight.environment);
  place.visible = std::move(share.gpus);
  place.choice = placement::choose_gpu(sight.map, ranks, place.visible);
  if (place.visible.empty())
    place.gpu_problem = sight.driver.reason.empty() ? place.choice.reason : sight.driver.reason;
  if (!share.warning.empty())
    place.choice.warnings.push_back(std::move(share.warning));
  add_facts(sight, ranks, share.note, place);
  return place;
}

void compare_places(RankPlacement& place, const topology::LegTopology& topology, double deadline_s) {
  placement::TakenGpu own;
  own.machine = machine_of(topology.own_card());
  if (place.choice.gpu) {
    own.bus_id = place.choice.gpu->bus_id;
    own.uuid = place.choice.gpu->uuid;
  }
  std::vector<placement::TakenGpu> all;
  for (const std::string& line : mpi::all_gather_strings(topology.leg, placement::encode(own), deadline_s))
    all.push_back(placement::decode_taken_gpu(line));
  const std::size_t self = topology.self.value();
  // The first rank of a machine speaks for all of it, however many hosts share its kernel.
  const auto first = std::find_if(
      all.begin(), all.end(), [&](const placement::TakenGpu& taken) { return taken.machine == own.machine; });
  if (static_cast<std::size_t>(first - all.begin()) != self)
    return;
  for (std::string& warning : placement::sharing_warnings(all, self, place.visible, place.slots))
    place.choice.warnings.push_back(std::move(warning));
}

bool bind_near_gpu(const RankPlacement& place) {
  if (place.choice.narrower.empty())
    return false;
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int cpu : place.choice.narrower.numbers()) {
    if (cpu < CPU_SETSIZE)
      CPU_SET(static_cast<std::size_t>(cpu), &set);
  }
  return ::sched_setaffinity(0, sizeof set, &set) == 0;
}

}  // namespace lockstep::app
