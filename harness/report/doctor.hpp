#pragma once

#include <string>
#include <vector>

#include "harness/campaign/finding.hpp"
#include "harness/campaign/local_machine.hpp"
#include "harness/campaign/survey_data.hpp"
#include "harness/plan/plan.hpp"
#include "harness/report/style.hpp"

namespace lockstep::report {

/// The preflight of a plan: its hosts, the network between its sites, and what was found.
struct Preflight {
  const plan::Plan& plan;
  const campaign::Survey& survey;
  const std::vector<campaign::Finding>& findings;
  std::string folder;  ///< where the probes' own words are; empty when none were started
};
[[nodiscard]] std::string preflight_text(const Preflight& preflight, const Style& style);
/// One JSON document. Times in seconds, sizes in bytes, rates in bytes/s.
[[nodiscard]] std::string preflight_json(const Preflight& preflight);

/// The same for this machine alone.
[[nodiscard]] std::string local_text(const campaign::LocalMachine& machine,
                                     const std::vector<campaign::Finding>& findings, const Style& style);
[[nodiscard]] std::string local_json(const campaign::LocalMachine& machine,
                                     const std::vector<campaign::Finding>& findings);

}  // namespace lockstep::report
