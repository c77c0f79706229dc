#include "harness/certify/grade.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "harness/certify/incidents.hpp"
#include "harness/certify/stall_causes.hpp"

namespace lockstep::certify {
namespace {

using plan::Grade;

const Criterion* find(const Findings& findings, const std::string& name) {
  const auto found = std::find_if(findings.criteria.begin(), findings.criteria.end(),
                                  [&](const Criterion& criterion) { return criterion.name == name; });
  return found == findings.criteria.end() ? nullptr : &*found;
}

bool has_status(const Findings& findings, const std::string& name, Status status) {
  const Criterion* criterion = find(findings, name);
  return criterion != nullptr && criterion->status == status;
}

std::string describe(const Criterion& criterion) {
  if (!criterion.value)
    return fmt::format("{} could not be computed", criterion.title);
  return fmt::format("{} is {:.4g}, the criterion is {} {:.4g}", criterion.title, *criterion.value,
                     to_string(criterion.bound), criterion.threshold);
}

std::string describe_eta(const Findings& findings) {
  const stats::ThroughputRatio& eta = *findings.metrics.eta;
  return fmt::format("eta = {:.4f}, {:.0f} % interval {:.4f} to {:.4f}, against {} alone", eta.value,
                     100.0 * findings.plan.criteria.confidence, eta.low, eta.high, findings.metrics.eta_best);
}

GradedVerdict inconclusive(std::vector<std::string> reasons) {
  return {Grade::inconclusive, std::move(reasons)};
}

void add_stalls(const Findings& findings, GradedVerdict& verdict) {
  if (std::string stalls = describe_stalls(findings.metrics); !stalls.empty())
    verdict.reasons.push_back(std::move(stalls));
}

/// Ranks and devices that stand out, unless all is well anyway.
void add_devices(const Findings& findings, GradedVerdict& verdict) {
  for (std::string& line : describe_devices(findings.metrics.devices))
    verdict.reasons.push_back(std::move(line));
}

/// eta is below B: federated, or separate sites.
GradedVerdict grade_below_b(const Findings& findings) {
  GradedVerdict verdict;
  verdict.reasons.push_back(
      fmt::format("synchronous training is too slow: {}, grade B needs a lower end of {:.4g}",
                  describe_eta(findings), findings.plan.criteria.eta_b));
  const Criterion* low = find(findings, "low_communication");
  if (low == nullptr || low->status == Status::unknown)
    return inconclusive(
        {verdict.reasons.front(),
         "whether a low-communication scheme would do cannot be computed from this evidence"});
  verdict.grade = low->status == Status::pass ? Grade::c : Grade::d;
  verdict.reasons.push_back(describe(*low));
  for (const SiteContribution& contribution : findings.metrics.contributions)
    if (contribution.value < 0.0)
      verdict.reasons.push_back(fmt::format(
          "adding site {} lowers the throughput of all ranks together by {:.3g} of what it does alone",
          contribution.site, -contribution.value));
  add_stalls(findings, verdict);
  add_devices(findings, verdict);
  return verdict;
}

}  // namespace

GradedVerdict grade(const Findings& findings) {
  if (!findings.gaps.empty())
    return inconclusive(findings.gaps);
  if (!findings.joint_failure.empty()) {
    GradedVerdict verdict{
        Grade::d,
        {"the job cannot finish over all sites, while each of them finishes alone", findings.joint_failure}};
    if (findings.incident != nullptr)
      verdict.reasons.push_back(in_words(*findings.incident) + ": " + findings.incident->cause);
    return verdict;
  }
  if (has_status(findings, "data", Status::fail)) {
    const DataCheck& data = findings.metrics.data;
    const bool reduced = data.wrong_values + data.checksum_mismatches > 0;
    GradedVerdict verdict{Grade::d,
                          {reduced ? "reduced data were wrong" : "computed results were wrong", data.first}};
    if (findings.incident != nullptr &&
        (findings.incident->kind == "wrong_data" || findings.incident->kind == "silent_data_corruption"))
      verdict.reasons.push_back(in_words(*findings.incident) + ": " + findings.incident->cause);
    return verdict;
  }
  if (!findings.metrics.eta || findings.metrics.eta->rounds == 0)
    return inconclusive({"eta could not be computed"});
  std::vector<std::string> unknown;
  std::vector<std::string> failed;
  for (const Criterion& criterion : findings.criteria) {
    if (!criterion.for_grade_a || criterion.name == "eta")
      continue;
    if (criterion.status == Status::unknown)
      unknown.push_back(describe(criterion));
    else if (criterion.status == Status::fail)
      failed.push_back(describe(criterion));
  }
  if (!unknown.empty())
    return inconclusive(std::move(unknown));

  const plan::Criteria& criteria = findings.plan.criteria;
  const double low = findings.metrics.eta->low;
  if (!(low >= criteria.eta_b))
    return grade_below_b(findings);
  GradedVerdict verdict;
  verdict.reasons.push_back(describe_eta(findings));
  if (low >= criteria.eta_a && failed.empty()) {
    verdict.grade = low >= criteria.eta_a_plus ? Grade::a_plus : Grade::a;
    verdict.reasons.emplace_back("every criterion of grade A is met");
    return verdict;
  }
  verdict.grade = Grade::b;
  if (low < criteria.eta_a)
    verdict.reasons.push_back(
        fmt::format("grade A needs a lower end of eta's interval of {:.4g} at least", criteria.eta_a));
  verdict.reasons.insert(verdict.reasons.end(), failed.begin(), failed.end());
  add_stalls(findings, verdict);
  add_devices(findings, verdict);
  return verdict;
}

}  // namespace lockstep::certify
