#pragma once

#include <string>
#include <vector>

#include "harness/certify/metrics.hpp"
#include "harness/plan/plan.hpp"
#include "harness/record/evidence.hpp"

namespace lockstep::certify {

/// What the evidence lacks for a verdict, each in one line a person understands; empty when it is complete.
/// Anything here makes the verdict inconclusive, so that no pass rests on what was not seen.
///
/// A joint leg that failed for a recorded cause (see joint_failure) is no gap: that is an answer.
[[nodiscard]] std::vector<std::string> find_gaps(const record::Evidence& evidence, const plan::Plan& plan,
                                                 const Metrics& metrics);

/// Why the joint leg could not finish, when a launch of it failed with a failure row that tells the cause (a
/// process killed or ended, a host lost, a deadline, a transport error) while every baseline completed. Empty
/// otherwise.
[[nodiscard]] std::string joint_failure(const record::Evidence& evidence, const plan::Plan& plan);

}  // namespace lockstep::certify
