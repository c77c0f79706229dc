#pragma once

#include <string>
#include <vector>

#include "harness/certify/launches.hpp"
#include "harness/certify/metrics.hpp"

/// Why the joint leg's slow steps were slow. Internal to this room.
namespace lockstep::certify {

/// Causes are worked out from the raw evidence: what the run file says of them is not looked at.
[[nodiscard]] JointStalls figure_stalls(const record::Evidence& evidence, const std::vector<Round>& rounds);

/// In a sentence, with what it means; empty when there were none.
[[nodiscard]] std::string describe_stalls(const Metrics& metrics);

/// `slow transfers A - B`; `rank 4 on b2 computed long`.
[[nodiscard]] std::string in_words(const StallCause& cause);

}  // namespace lockstep::certify
