#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "harness/watch/launch_view.hpp"
#include "harness/watch/step_parts.hpp"

/// What may have made a step long. Internal to this room.
namespace lockstep::watch {

/// One explanation of a stall.
struct Candidate {
  std::string cause;  ///< as in StallRow
  std::string culprit;
  std::vector<std::uint32_t> ranks;  ///< blamed, ascending; empty when it is a network or everybody
  double explained_ns = 0.0;         ///< of the step's extra time; may be more than all of it
  double certainty = 1.0;            ///< of the rule itself, when its figures are clear
  std::int32_t op = -1;              ///< that the time was lost in
  std::string why;
};

/// Time between two steps is part of the step's length, as in the certificate, or is not.
enum class StepSpan { own_time, end_to_end };

/// Explanations with figures, the best first. `extra_ns`: what the step is longer than usual.
[[nodiscard]] std::vector<Candidate> explain_step(const LaunchView& view, const StepParts& step,
                                                  const UsualStep& usual, ArrivalRule rule, double extra_ns,
                                                  StepSpan span);

}  // namespace lockstep::watch
