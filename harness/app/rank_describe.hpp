#pragma once

#include <string>

#include "harness/app/rank_placement.hpp"
#include "harness/app/rank_wait.hpp"
#include "harness/compute/facts.hpp"
#include "harness/fabric/fabric_facts.hpp"
#include "harness/plan/plan.hpp"
#include "harness/record/journal.hpp"
#include "harness/step/graph.hpp"
#include "harness/topology/leg_topology.hpp"

namespace lockstep::app {

/// Cores of this rank's machine, and who shares them.
[[nodiscard]] CoreShare core_share(const plan::Plan& plan, const topology::LegTopology& topology,
                                   int busy_threads);

/// What is known of a rank before it runs.
struct RankFacts {
  const plan::Plan& plan;
  const topology::LegTopology& topology;
  const step::StepGraph& graph;
  const compute::ComputeFacts& compute;
  const fabric::FabricFacts& fabric;
  const WaitChoice& wait;
  const CoreShare& share;
  const RankPlacement* placement = nullptr;  ///< nullptr: the plan uses no GPU
  const char* clock_source = "";
  std::string warning;
};
/// Everything of RankMeta but the leg, which is there already. The facts that all ranks of a host share are
/// told by one of them. Throws mpi::MpiError.
void describe_rank(record::RankMeta& meta, const RankFacts& facts);

}  // namespace lockstep::app
