#include "harness/campaign/finding.hpp"

#include <algorithm>
#include <iterator>

namespace lockstep::campaign {

const char* to_string(Severity severity) {
  switch (severity) {
    case Severity::note:
      return "note";
    case Severity::warning:
      return "warning";
    case Severity::error:
      return "error";
  }
  return "";
}

std::vector<Finding> findings_of(const DoctorInput& input) {
  std::vector<Finding> all;
  for (const auto rule : {host_findings, software_findings, gpu_findings, clock_findings, path_findings,
                          place_findings, bandwidth_findings}) {
    std::vector<Finding> found = rule(input);
    std::move(found.begin(), found.end(), std::back_inserter(all));
  }
  std::stable_sort(all.begin(), all.end(),
                   [](const Finding& a, const Finding& b) { return a.severity > b.severity; });
  return all;
}

}  // namespace lockstep::campaign
