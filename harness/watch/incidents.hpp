#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "harness/record/evidence.hpp"
#include "harness/watch/launch_facts.hpp"
#include "harness/watch/launch_view.hpp"

namespace lockstep::watch {

/// Kinds that need not end a launch: wrong data, results that were computed wrongly, errors of devices.
[[nodiscard]] bool spoils_only(const std::string& kind);

/// What ended this launch, and what spoilt its data: one row for one cause, and what
/// devices told of themselves besides. Nothing for a launch that completed with right data on sound devices,
/// or that somebody interrupted.
///
/// The first death in time is the cause; those after it are its consequences, for mpirun then ends the rest.
/// Ranks that ended themselves because of others (RankExit) are never a cause. `incident` is 0, 1, ... within
/// the launch, and `recovery` is empty: whoever keeps the run's list fills both.
[[nodiscard]] std::vector<record::IncidentRow> find_incidents(const LaunchView& view,
                                                              const LaunchFacts& facts = {});

}  // namespace lockstep::watch
