#pragma once

#include <memory>
#include <vector>

#include "harness/record/evidence.hpp"
#include "harness/stats/stall.hpp"
#include "harness/watch/launch_view.hpp"
#include "harness/watch/stall_candidates.hpp"

namespace lockstep::watch {

/// Steady steps that every rank completed and whose longest rank took longer than the rule allows, without
/// causes. Counted from the end of the rank's step before, without the time to save a checkpoint.
[[nodiscard]] std::vector<record::StallRow> find_stalls(const LaunchView& view,
                                                        const stats::StallRule& rule = {});

/// Tells who made a step long, and how. A step's extra time over the median is compared with what grew by as
/// much: a rank's own work while others waited for it, a communication after every rank had joined it, or a
/// late entry into one. The last arrival in a communication is found on the common clock where its bound is
/// small against the extra time, and by the shortest time besides; when the two disagree, or when two causes
/// explain about the same, confidence is low and `why` says so. For the last steps of a launch, whose ops are
/// all stamped, the critical path across ranks has to agree too.
///
/// The view must outlive it.
class StallAttribution {
 public:
  explicit StallAttribution(const LaunchView& view);
  ~StallAttribution();
  StallAttribution(StallAttribution&&) noexcept;
  StallAttribution& operator=(StallAttribution&&) noexcept;

  /// Fills op, phase, cause, culprit, confidence and why, from step, length and median.
  void explain(record::StallRow& stall, StepSpan span = StepSpan::own_time) const;

 private:
  struct Measured;
  std::unique_ptr<Measured> measured_;
};

/// Both together: what is appended to the run file when a launch has ended.
[[nodiscard]] std::vector<record::StallRow> attribute_stalls(const LaunchView& view,
                                                             const stats::StallRule& rule = {});

}  // namespace lockstep::watch
