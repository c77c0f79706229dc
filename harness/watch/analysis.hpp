#pragma once

#include <cstdint>
#include <vector>

#include "harness/record/evidence.hpp"
#include "harness/record/merge.hpp"
#include "harness/stats/stall.hpp"
#include "harness/watch/launch_facts.hpp"

namespace lockstep::watch {

/// All that is found out about a launch when it has ended. `evidence` needs to hold the rows of that launch
/// only. Incidents are numbered from 0, and their `recovery` is for the caller to fill. Nothing when there is
/// no such launch.
[[nodiscard]] record::Conclusions analyse_launch(const record::Evidence& evidence, std::uint32_t leg,
                                                 const LaunchFacts& facts = {},
                                                 const stats::StallRule& rule = {});

}  // namespace lockstep::watch
