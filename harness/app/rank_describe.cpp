#include "harness/app/rank_describe.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

#include <fmt/format.h>

#include "harness/core/clock.hpp"
#include "harness/core/cpu_set.hpp"
#include "harness/mpi/environment.hpp"
#include "harness/mpi/parameters.hpp"
#include "harness/placement/read_host.hpp"
#include "harness/record/describe.hpp"
#include "harness/record/provenance.hpp"
#include "harness/watch/launch_view.hpp"

namespace lockstep::app {
namespace {

void describe_host(record::RankMeta& meta, const RankFacts& facts) {
  const auto leg = static_cast<std::int32_t>(meta.leg.leg);
  const auto self = static_cast<std::int32_t>(facts.topology.self.value());
  meta.provenance = record::machine_provenance(leg, self);
  const auto add = [&](const std::string& key, const std::string& value) {
    meta.provenance.push_back({leg, self, key, value});
  };
  add("kernel.boot_id", facts.topology.own_card().boot_id);
  add("clock.source", facts.clock_source);
  add(watch::kUtcOffsetKey, std::to_string(utc_ns() - monotonic_ns()));
  add("oversubscribed", is_oversubscribed(facts.share) ? "yes" : "no");
  add("mpi.library", mpi::library_version());
  add("mpi.standard", mpi::standard_version());
  for (const mpi::Parameter& parameter : mpi::performance_parameters())
    add("mpi." + parameter.name, parameter.value);
  for (const compute::Fact& fact : facts.compute.details)
    add(fact.key, fact.value);
  for (const fabric::Fact& fact : facts.fabric.details)
    add(fact.key, fact.value);
  if (!facts.warning.empty())
    add("warning", facts.warning);
  if (facts.placement != nullptr)
    add("hwloc.version", placement::hwloc_version());
}

/// Each rank has a place and a GPU of its own.
void describe_place(record::RankMeta& meta, const RankPlacement& place) {
  const auto add = [&meta](const std::string& key, const std::string& value) {
    meta.provenance.push_back(
        {static_cast<std::int32_t>(meta.leg.leg), static_cast<std::int32_t>(meta.rank.rank), key, value});
  };
  if (const auto& gpu = place.choice.gpu)
    meta.rank.gpu = fmt::format("{} ({}) {}", gpu->ordinal, gpu->bus_id, gpu->uuid);
  for (const PlacementFact& fact : place.facts)
    add(fact.key, fact.value);
  for (const std::string& warning : place.choice.warnings)
    add("warning", warning);
}

}  // namespace

CoreShare core_share(const plan::Plan& plan, const topology::LegTopology& topology, int busy_threads) {
  CoreShare share;
  share.own = CpuSet::of_this_thread();
  share.busy_threads = busy_threads;
  // One kernel is one set of cores, whatever its hosts are called: sites that share a machine share them
  // too.
  for (const topology::RankCard& card : topology.cards) {
    if (card.boot_id == topology.own_card().boot_id)
      share.on_machine.push_back(CpuSet::parse(card.cores).value_or(CpuSet{}));
  }
  if (plan.placement == plan::Placement::colocated) {
    // A site alone leaves cores free that the joint leg needs. All legs must wait in the same way, or eta
    // would compare ways of waiting.
    std::size_t all_sites = 0;
    for (const plan::Site& site : plan.sites)
      all_sites += site.slots;
    share.on_machine.resize(std::max(all_sites, share.on_machine.size()), share.own);
  }
  return share;
}

void describe_rank(record::RankMeta& meta, const RankFacts& facts) {
  const topology::LegTopology& topology = facts.topology;
  const topology::RankCard& card = topology.own_card();
  record::RankRow& row = meta.rank;
  row.leg = meta.leg.leg;
  row.rank = topology.self.value();
  row.world_rank = card.world_rank;
  row.site = card.site;
  row.host = card.host;
  row.local_rank = topology.order.local_rank[topology.self.value()];
  row.pid = card.pid;
  row.cores = card.cores;
  row.binary_hash = card.binary_hash;
  row.plan_hash = card.plan_hash;
  row.compute = facts.compute.description;
  row.fabric = facts.fabric.description;
  row.progress = fmt::format("{}: {}", step::to_string(facts.wait.mode), facts.wait.reason);
  row.peak_gflops = facts.compute.peak_gflops;
  row.tokens_per_step = facts.graph.tokens_per_rank;
  row.state = "partial";
  meta.graph = record::graph_rows(meta.leg.leg, facts.graph);
  meta.parts = record::group_parts(facts.graph, topology.self);
  if (row.local_rank == 0)
    describe_host(meta, facts);
  if (facts.placement != nullptr)
    describe_place(meta, *facts.placement);
}

}  // namespace lockstep::app
