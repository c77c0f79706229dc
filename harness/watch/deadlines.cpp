#include "harness/watch/deadlines.hpp"

#include <algorithm>
#include <utility>

#include "harness/core/error.hpp"
#include "harness/core/units.hpp"

namespace lockstep::watch {
namespace {

std::int64_t ns_of(double seconds) noexcept {
  return static_cast<std::int64_t>(seconds * kNsPerS);
}

}  // namespace

StepDeadlines::StepDeadlines(const plan::Deadlines& plan, std::vector<OpReach> reach)
    : plan_(plan), reach_(std::move(reach)), comm_ns_(reach_.size(), 0) {
  apply();
}

void StepDeadlines::see_step(std::int64_t step_ns, std::span<const std::int64_t> comm_ns) noexcept {
  LOCKSTEP_EXPECT(comm_ns.size() == reach_.size(), "the times are of another graph");
  seen_step_ns_ = std::max(seen_step_ns_, step_ns);
  for (std::size_t i = 0; i < comm_ns.size(); ++i) {
    std::int64_t& longest = reach_[i] == OpReach::wan ? seen_wan_ns_ : seen_site_ns_;
    longest = std::max(longest, comm_ns[i]);
  }
  seen_ = std::min(seen_ + 1, kSteps);
  apply();
}

std::int64_t StepDeadlines::by_rule(double given_s, std::int64_t longest_ns) const noexcept {
  if (given_s > 0.0)
    return ns_of(given_s);
  if (seen_ < kSteps)
    return ns_of(plan_.first_op_s);
  return std::max(ns_of(plan_.least_s), static_cast<std::int64_t>(kFactor * static_cast<double>(longest_ns)));
}

void StepDeadlines::apply() noexcept {
  const std::int64_t site_ns = by_rule(plan_.op_s, seen_site_ns_);
  const std::int64_t wan_ns = by_rule(plan_.wan_op_s, seen_wan_ns_);
  longest_comm_ns_ = 0;
  for (std::size_t i = 0; i < reach_.size(); ++i) {
    comm_ns_[i] = reach_[i] == OpReach::wan ? wan_ns : site_ns;
    longest_comm_ns_ = std::max(longest_comm_ns_, comm_ns_[i]);
  }
  step_ns_ = by_rule(plan_.step_s, seen_step_ns_);
  if (plan_.step_s > 0.0)
    return;
  const std::int64_t beside_ns = seen_ < kSteps ? ns_of(plan_.first_op_s) : seen_step_ns_;
  step_ns_ = std::max(step_ns_ + (seen_ < kSteps ? beside_ns : 0), longest_comm_ns_ + beside_ns);
}

double first_step_allowance_s(const plan::Deadlines& plan) {
  const StepDeadlines first(plan, {OpReach::site, OpReach::wan});
  return seconds_from_ns(first.step_ns());
}

}  // namespace lockstep::watch
