#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "harness/plan/plan.hpp"
#include "harness/record/evidence.hpp"

namespace lockstep::certify {

/// Whether a fault that was made on purpose was seen, named and survived.
struct DrillResult {
  std::uint32_t index = 0;  ///< in the plan
  std::string kind;
  std::string target;    ///< rank 4, host b2, site B, A - B
  std::string expected;  ///< how it should be called
  bool made = false;
  bool detected = false;
  std::string detected_as;            ///< `rank killed, rank 1 on b1 (confidence 0.95)`
  bool kind_right = false;            ///< it was called what it was
  bool culprit_right = false;         ///< and put down to what it was done to
  std::optional<double> detection_s;  ///< from the fault until somebody knew
  bool recovered = false;             ///< the launch went on all the same, or a later attempt did
  std::optional<double> recovery_s;   ///< from the fault until a later attempt had completed a step
};

/// One for each drill of the plan, in its order. `incidents`: see collect_incidents(). A drill of one leg and
/// round is held against what was found in that round from its step on, up to the next one's.
[[nodiscard]] std::vector<DrillResult> judge_drills(const record::Evidence& evidence, const plan::Plan& plan,
                                                    const std::vector<record::IncidentRow>& incidents);

}  // namespace lockstep::certify
