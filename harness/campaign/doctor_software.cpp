#include <algorithm>
#include <array>
#include <map>

#include <fmt/format.h>

#include "harness/campaign/finding.hpp"
#include "harness/campaign/survey_view.hpp"
#include "harness/core/text.hpp"

namespace lockstep::campaign {
namespace {

constexpr std::size_t kShownDigits = 12;  // of a hash

struct Comparison {
  const char* key;  // in HostFacts::software
  Severity severity;
  const char* why;
  const char* advice;
  bool only_gpus = false;  // of no importance to a plan that uses none
};

constexpr const char* kOneBuild =
    "install the same build on every host, or build on a file system that all see";
constexpr const char* kOneMpi = "install the same Open MPI on every host";
constexpr std::array kComparisons = {
    Comparison{"lockstep version", Severity::error, "different versions measure in different ways",
               kOneBuild},
    Comparison{"lockstep sha256", Severity::warning, "different programs may measure in different ways",
               kOneBuild},
    Comparison{"lockstep-rank sha256", Severity::error, "unequal binaries make the verdict inconclusive",
               kOneBuild},
    Comparison{"Open MPI", Severity::error, "ranks of different Open MPI versions cannot be wired up",
               kOneMpi},
    Comparison{"libmpi sha256", Severity::error, "the ranks would load different MPI libraries", kOneMpi},
    Comparison{"HDF5", Severity::warning,
               "journals are merged by one host; others may not read the result alike",
               "install the same HDF5 on every host"},
    Comparison{"kernel", Severity::note, "schedulers and network stacks differ between kernels",
               "keep in mind when one host or site is slower"},
    Comparison{"GPUs", Severity::warning,
               "every step waits for the slowest rank, and eta compares unequal sites",
               "name hosts with equal GPUs in the plan", true},
    Comparison{"NVIDIA driver", Severity::warning,
               "clocks, kernels and NCCL's choices differ between drivers: sites would be compared by them",
               "install one driver on every host", true},
};

std::string shown(const std::string& key, const std::string& value) {
  if (value.empty())
    return "(not known)";
  return key.ends_with("sha256") ? value.substr(0, kShownDigits) : value;
}

void compare(const DoctorInput& input, const Comparison& comparison, std::vector<Finding>& found) {
  std::map<std::string, std::vector<std::string>> hosts_by_value;
  std::size_t answered = 0;
  for (const SurveyedHost& host : input.survey.hosts) {
    if (!host.facts)
      continue;
    ++answered;
    const auto at = host.facts->software.find(comparison.key);
    hosts_by_value[at == host.facts->software.end() ? std::string() : at->second].push_back(host.name);
  }
  if (hosts_by_value.size() < 2)
    return;
  const auto most =
      std::max_element(hosts_by_value.begin(), hosts_by_value.end(),
                       [](const auto& a, const auto& b) { return a.second.size() < b.second.size(); });
  Finding finding{.severity = comparison.severity,
                  .kind = "different-software",
                  .hosts = {},
                  .sites = {},
                  .what = {},
                  .why = comparison.why,
                  .advice = comparison.advice};
  std::vector<std::string> parts;
  const bool has_majority = 2 * most->second.size() > answered;
  for (const auto& [value, hosts] : hosts_by_value) {
    if (has_majority && value == most->first)
      continue;
    finding.hosts.insert(finding.hosts.end(), hosts.begin(), hosts.end());
    parts.push_back(fmt::format("{} on {}", shown(comparison.key, value), some_of(hosts)));
  }
  finding.what = fmt::format("{}: {}", comparison.key, join(parts, "; "));
  if (has_majority) {
    finding.what +=
        fmt::format("; {} on the other {} hosts", shown(comparison.key, most->first), most->second.size());
  }
  found.push_back(std::move(finding));
}

void find_unusable(const DoctorInput& input, std::vector<Finding>& found) {
  for (const SurveyedHost& host : input.survey.hosts) {
    if (!host.facts)
      continue;
    if (!host.facts->rank_program_error.empty()) {
      found.push_back({.severity = Severity::error,
                       .kind = "no-rank-program",
                       .hosts = {host.name},
                       .sites = {},
                       .what = fmt::format("on {}: {}", host.name, host.facts->rank_program_error),
                       .why = "no rank would start there",
                       .advice = "install the same build under the same path on every host"});
    }
    if (!host.facts->missing_libraries.empty()) {
      found.push_back({.severity = Severity::error,
                       .kind = "missing-library",
                       .hosts = {host.name},
                       .sites = {},
                       .what = fmt::format("lockstep-rank on {} lacks {}", host.name,
                                           some_of(host.facts->missing_libraries)),
                       .why = "the loader does not find them, so that no rank would start there",
                       .advice = "install them on that host (scripts/setup does)"});
    }
  }
}

}  // namespace

std::vector<Finding> software_findings(const DoctorInput& input) {
  std::vector<Finding> found;
  find_unusable(input, found);
  for (const Comparison& comparison : kComparisons) {
    if (!comparison.only_gpus || plan::uses_gpus(input.plan))
      compare(input, comparison, found);
  }
  return found;
}

}  // namespace lockstep::campaign
