#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>

#include "harness/stats/stall.hpp"

namespace lockstep::campaign {

/// A step that takes far longer than those before it.
struct LiveStall {
  std::uint32_t step = 0;     ///< of the launch, that is not complete yet, or was late
  std::int64_t since_ns = 0;  ///< when the step before it was seen to be complete
  std::int64_t length_ns = 0;
  double usual_s = 0.0;  ///< median of the steps before
};

/// Sees a stall while it lasts, by the rule that also judges it afterwards (stats::StallRule). Pure: the
/// clock is an argument.
///
/// What it is shown comes from polling, so a stall shorter than the time between two looks shows in the
/// evidence only.
class StallWatch {
 public:
  /// `look_every_s`: how late news may be.
  explicit StallWatch(double look_every_s) : look_every_s_(look_every_s) {}

  /// The length of a step that a rank has completed, warm-up left out.
  void take(double step_s);
  /// `steps`: that every rank has completed. Returns the stall that begins or goes on.
  [[nodiscard]] std::optional<LiveStall> observe(std::int64_t now_ns, std::uint32_t steps);
  /// No further step is expected: what lasts has ended.
  void end(std::int64_t now_ns);
  /// A stall that has ended since the last call, with its whole length.
  [[nodiscard]] std::optional<LiveStall> take_ended();

 private:
  static constexpr std::size_t kLeastSteps = 10;
  static constexpr std::size_t kMostSteps = 200;

  double look_every_s_;
  std::deque<double> steps_s_;
  std::optional<stats::StallThreshold> threshold_;
  std::uint32_t steps_ = 0;
  std::int64_t changed_ns_ = 0;
  std::optional<LiveStall> current_;
  std::optional<LiveStall> ended_;
};

}  // namespace lockstep::campaign
