#pragma once

#include <memory>

#include "harness/plan/plan.hpp"
#include "harness/record/journal.hpp"
#include "harness/topology/leg_topology.hpp"
#include "harness/watch/site_probes.hpp"

namespace lockstep::app {

/// Begins the probes between sites: the lowest rank of each site asks, and answers, that of every other one,
/// over the networks that Open MPI's TCP transport uses. Null in all other ranks, and where there are no
/// probes. Collective over the leg. Rows go to `journal`, which outlives what is returned. Throws
/// mpi::DeadlineError and mpi::MpiError.
[[nodiscard]] std::unique_ptr<watch::SiteProbes> start_probes(const plan::Plan& plan,
                                                              const topology::LegTopology& topology,
                                                              std::uint32_t leg, record::Journal& journal,
                                                              double deadline_s);

/// Room that a rank's journal needs for them.
[[nodiscard]] std::uint32_t probe_rows(const plan::Plan& plan, const topology::LegTopology& topology);

}  // namespace lockstep::app
