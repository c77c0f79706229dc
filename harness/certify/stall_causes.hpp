#pragma once

#include <string>
#include <vector>

#include "harness/certify/launches.hpp"
#include "harness/certify/metrics.hpp"

/// Why the joint leg's slow steps were slow. Internal to this room.
namespace lockstep::certify {

[[nodiscard]] JointStalls figure_stalls(const std::vector<Round>& rounds);

/// In a sentence, with what it means; empty when there were none.
[[nodiscard]] std::string describe_stalls(const Metrics& metrics);

}  // namespace lockstep::certify
