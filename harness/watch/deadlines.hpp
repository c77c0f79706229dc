#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "harness/plan/plan.hpp"

namespace lockstep::watch {

/// Where the ranks of a communication are.
enum class OpReach { site, wan };

/// How long this rank waits for its communications and steps, by the plan's `[deadlines]`. What the plan
/// gives is fixed; what it leaves at 0 follows the rule: kFactor times the longest of the same kind (inside a
/// site, between sites, whole steps) that this rank has seen, once it has seen kSteps steps, and never less
/// than `least_s`; `first_op_s` before.
///
/// A step that goes by the rule is never given less than its slowest communication at that one's deadline
/// plus the longest step so far, so that a communication that hangs is told as such and not as a step; before
/// there are kSteps, twice `first_op_s`.
///
/// Pure; one thread. Between steps: see_step(), with no allocation and no system call. Times in ns.
class StepDeadlines {
 public:
  static constexpr double kFactor = 5.0;
  static constexpr std::uint32_t kSteps = 5;

  /// `reach`: of each communication, in the order of StepGraph::comm_ops().
  StepDeadlines(const plan::Deadlines& plan, std::vector<OpReach> reach);

  /// A step was completed: its length, and that of each communication.
  void see_step(std::int64_t step_ns, std::span<const std::int64_t> comm_ns) noexcept;

  /// For each communication, from its begin. The same memory for ever.
  [[nodiscard]] std::span<const std::int64_t> comm_ns() const { return comm_ns_; }
  /// From the begin of a step to its end.
  [[nodiscard]] std::int64_t step_ns() const { return step_ns_; }
  /// The longest of comm_ns().
  [[nodiscard]] std::int64_t longest_comm_ns() const { return longest_comm_ns_; }

 private:
  void apply() noexcept;
  [[nodiscard]] std::int64_t by_rule(double given_s, std::int64_t longest_ns) const noexcept;

  plan::Deadlines plan_;
  std::vector<OpReach> reach_;
  std::vector<std::int64_t> comm_ns_;
  std::int64_t step_ns_ = 0;
  std::int64_t longest_comm_ns_ = 0;
  std::int64_t seen_site_ns_ = 0;
  std::int64_t seen_wan_ns_ = 0;
  std::int64_t seen_step_ns_ = 0;
  std::uint32_t seen_ = 0;
};

/// Most that a rank may let a step take before it has seen any, in seconds; what an observer from outside
/// has to allow.
[[nodiscard]] double first_step_allowance_s(const plan::Deadlines& plan);

}  // namespace lockstep::watch
