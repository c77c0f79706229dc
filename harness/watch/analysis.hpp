#pragma once

#include <cstdint>
#include <vector>

#include "harness/record/evidence.hpp"
#include "harness/stats/stall.hpp"
#include "harness/watch/launch_facts.hpp"

namespace lockstep::watch {

/// All that is found out about a launch when it has ended: rows for the run file.
struct LaunchAnalysis {
  std::vector<record::StallRow> stalls;
  std::vector<record::IncidentRow> incidents;  ///< numbered from 0; `recovery` is for the caller to fill
};

/// `evidence` needs to hold the rows of that launch only. Nothing when it has no such launch.
[[nodiscard]] LaunchAnalysis analyse_launch(const record::Evidence& evidence, std::uint32_t leg,
                                            const LaunchFacts& facts = {}, const stats::StallRule& rule = {});

}  // namespace lockstep::watch
