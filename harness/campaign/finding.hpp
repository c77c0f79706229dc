#pragma once

#include <map>
#include <string>
#include <vector>

#include "harness/campaign/survey_data.hpp"
#include "harness/plan/plan.hpp"

namespace lockstep::campaign {

/// What a finding means for a run of the plan.
enum class Severity {
  note,     ///< good to know
  warning,  ///< may cost speed, or is a surprise waiting to happen
  error,    ///< a run would break, or measure something else than the sites
};
[[nodiscard]] const char* to_string(Severity severity);

/// Something that the preflight found, and what to do about it.
struct Finding {
  Severity severity = Severity::note;
  std::string kind;                ///< for programs: "unreachable", "misplaced-host" ...
  std::vector<std::string> hosts;  ///< names, empty when it is about sites
  std::vector<std::string> sites;  ///< names, a direction from the first to the second
  std::string what;                ///< what was measured, with unit and method
  std::string why;                 ///< why it matters
  std::string advice;              ///< what to do
};

/// What the rules go by.
struct DoctorInput {
  const plan::Plan& plan;
  const Survey& survey;
  std::map<std::string, std::string> mca;  ///< settings of Open MPI that a run would have
};

/// Every rule, worst findings first. A pure function.
[[nodiscard]] std::vector<Finding> findings_of(const DoctorInput& input);

// The rules, by what they look at.
[[nodiscard]] std::vector<Finding> host_findings(const DoctorInput& input);
[[nodiscard]] std::vector<Finding> software_findings(const DoctorInput& input);
[[nodiscard]] std::vector<Finding> gpu_findings(const DoctorInput& input);
[[nodiscard]] std::vector<Finding> clock_findings(const DoctorInput& input);
[[nodiscard]] std::vector<Finding> path_findings(const DoctorInput& input);
[[nodiscard]] std::vector<Finding> place_findings(const DoctorInput& input);
[[nodiscard]] std::vector<Finding> bandwidth_findings(const DoctorInput& input);

}  // namespace lockstep::campaign
