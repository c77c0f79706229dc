#pragma once

#include <string>
#include <vector>

#include "harness/certify/criteria.hpp"
#include "harness/certify/metrics.hpp"
#include "harness/plan/plan.hpp"

namespace lockstep::certify {

/// What a verdict rests on.
struct Findings {
  const plan::Plan& plan;
  const Metrics& metrics;
  const std::vector<Criterion>& criteria;
  const std::vector<std::string>& gaps;
  const std::string& joint_failure;               ///< empty: the joint leg finished
  const record::IncidentRow* incident = nullptr;  ///< of the joint leg; nullptr: none
};

struct GradedVerdict {
  plan::Grade grade = plan::Grade::inconclusive;
  std::vector<std::string> reasons;  ///< why, in sentences; the first one is the most important
};

/// The table of grades, from the top: what is lacking makes the verdict inconclusive before anything else is
/// looked at; a joint leg that cannot finish and wrong data make it D.
[[nodiscard]] GradedVerdict grade(const Findings& findings);

/// The least change that would lift the grade, computed from the numbers, each with what the evidence does
/// not tell. Empty for A and A+.
[[nodiscard]] std::vector<std::string> advise(const Findings& findings, plan::Grade grade);

}  // namespace lockstep::certify
