#include "harness/certify/certificate.hpp"

#include <algorithm>
#include <map>
#include <set>

#include <fmt/format.h>

#include "harness/certify/gaps.hpp"
#include "harness/certify/grade.hpp"
#include "harness/certify/incidents.hpp"
#include "harness/core/hash.hpp"
#include "harness/core/lab_variable.hpp"
#include "harness/core/text.hpp"
#include "harness/core/units.hpp"
#include "harness/plan/load.hpp"
#include "harness/stats/failure_rate.hpp"

namespace lockstep::certify {
namespace {

/// Hosts that had ranks of more than one site: those sites are not apart, whatever the plan says.
std::vector<std::string> hosts_of_several_sites(const record::Evidence& evidence) {
  std::map<std::string, std::set<std::string>> sites;
  for (const record::RankRow& row : evidence.ranks)
    if (!row.host.empty() && !row.site.empty())
      sites[row.host].insert(row.site);
  std::vector<std::string> hosts;
  for (const auto& [host, of_host] : sites)
    if (of_host.size() > 1)
      hosts.push_back(host);
  return hosts;
}

/// Sites of which some hosts booted together: one machine that answers to several names.
std::vector<std::string> sites_on_one_kernel(const record::Evidence& evidence) {
  std::map<std::pair<std::uint32_t, std::int32_t>, std::string> site_of_rank;
  for (const record::RankRow& row : evidence.ranks)
    site_of_rank[{row.leg, static_cast<std::int32_t>(row.rank)}] = row.site;
  std::map<std::string, std::set<std::string>> sites_of_boot;
  for (const record::ProvenanceRow& row : evidence.provenance) {
    if (row.key != "kernel.boot_id" || row.leg < 0)
      continue;
    const auto site = site_of_rank.find({static_cast<std::uint32_t>(row.leg), row.rank});
    if (site != site_of_rank.end())
      sites_of_boot[row.value].insert(site->second);
  }
  std::set<std::string> together;
  for (const auto& [boot, sites] : sites_of_boot) {
    if (sites.size() > 1)
      together.insert(sites.begin(), sites.end());
  }
  return {together.begin(), together.end()};
}

/// The lab that the run took place in, as the controller or any rank says; empty when none does.
std::string lab_of(const record::Evidence& evidence) {
  for (const record::ProvenanceRow& row : evidence.provenance) {
    if (row.key == "lab" || row.key == std::string("env.") + kLabVariable)
      return row.value;
  }
  return {};
}

/// From the plan, and from what the ranks say that they did.
std::vector<std::string> why_rehearsal(const record::Evidence& evidence, const plan::Plan& plan) {
  std::vector<std::string> reasons = plan::rehearsal_reasons(plan);
  if (plan.compute.backend != plan::ComputeBackend::paced) {
    const auto paced =
        std::count_if(evidence.ranks.begin(), evidence.ranks.end(),
                      [](const record::RankRow& row) { return row.compute.rfind("paced", 0) == 0; });
    if (paced > 0)
      reasons.push_back(fmt::format("{} ranks waited instead of computing", paced));
  }
  if (plan.placement != plan::Placement::colocated) {
    const std::vector<std::string> shared = hosts_of_several_sites(evidence);
    if (!shared.empty())
      reasons.push_back(fmt::format("host {} had ranks of more than one site", join(shared, ", ")));
    else if (const std::vector<std::string> together = sites_on_one_kernel(evidence); !together.empty())
      reasons.push_back(fmt::format("sites {} ran on one kernel: their hosts are parts of one machine",
                                    join(together, ", ")));
  }
  if (!plan.drills.empty())
    reasons.push_back(fmt::format("the plan has {} drill{}: faults were made on purpose", plan.drills.size(),
                                  plan.drills.size() == 1 ? "" : "s"));
  if (const std::string lab = lab_of(evidence); !lab.empty())
    reasons.push_back(fmt::format("the network between the sites was emulated (lab {})", lab));
  return reasons;
}

std::string list_distinct(const record::Evidence& evidence, std::string record::RankRow::*column) {
  std::set<std::string> values;
  for (const record::RankRow& row : evidence.ranks)
    if (!(row.*column).empty())
      values.insert(row.*column);
  const std::vector<std::string> list(values.begin(), values.end());
  return join(list, "; ");
}

/// What the joint leg's time without (or with) failures proves.
std::string describe_failure_rate(const record::Evidence& evidence, const plan::Plan& plan) {
  double hours = 0.0;
  unsigned incidents = 0;
  std::set<std::uint32_t> joint;
  for (const record::LegRow& leg : evidence.legs) {
    if (leg.kind != plan::to_string(plan::LegKind::joint))
      continue;
    joint.insert(leg.leg);
    for (const record::LegEndRow& end : evidence.leg_ends) {
      if (end.leg != leg.leg)
        continue;
      hours += static_cast<double>(end.ended_utc_ns - leg.launched_utc_ns) / 3.6e12;
      incidents += end.outcome == "failed" ? 1U : 0U;
    }
  }
  std::set<std::string> hosts;
  for (const record::RankRow& row : evidence.ranks)
    if (joint.contains(row.leg) && !row.host.empty())  // nothing is known of a missing rank's host
      hosts.insert(row.host);
  const double exposure = hours * static_cast<double>(hosts.size());
  if (!(exposure > 0.0))
    return "no exposure recorded";
  return fmt::format(
      "{} failed launches in {:.3g} node-hours of the joint leg: at {} confidence at most {:.3g} failures "
      "a node-day",
      incidents, exposure, format_percent(plan.criteria.confidence, 0),
      stats::failure_rate_upper_bound(incidents, exposure / 24.0, plan.criteria.confidence));
}

std::vector<Note> take_notes(const record::Evidence& evidence, const plan::Plan& plan) {
  return {{"compute", list_distinct(evidence, &record::RankRow::compute)},
          {"fabric", list_distinct(evidence, &record::RankRow::fabric)},
          {"progress", list_distinct(evidence, &record::RankRow::progress)},
          {"failure_rate", describe_failure_rate(evidence, plan)}};
}

}  // namespace

Certificate make_certificate(const record::Evidence& evidence, const std::string& evidence_sha256) {
  return make_certificate(evidence, plan::parse_plan(evidence.plan_text, "the plan in the evidence"),
                          evidence_sha256);
}

Certificate make_certificate(const record::Evidence& evidence, const plan::Plan& plan,
                             const std::string& evidence_sha256) {
  Certificate certificate;
  certificate.lockstep_version = evidence.lockstep_version;
  certificate.created_utc = evidence.created_utc;
  certificate.plan_name = plan.name;
  certificate.plan_sha256 = sha256(evidence.plan_text);
  certificate.evidence_sha256 = evidence_sha256;
  certificate.required_grade = plan.criteria.required_grade;
  certificate.rehearsal_reasons = why_rehearsal(evidence, plan);
  certificate.changed_criteria = plan::changed_criteria(plan);
  certificate.metrics = compute_metrics(evidence, plan);
  certificate.criteria = judge(certificate.metrics, plan);
  certificate.gaps = find_gaps(evidence, plan, certificate.metrics);
  const std::string failure = joint_failure(evidence, plan);
  certificate.incidents = collect_incidents(evidence);
  const Findings findings{plan,
                          certificate.metrics,
                          certificate.criteria,
                          certificate.gaps,
                          failure,
                          joint_incident(evidence, certificate.incidents)};
  GradedVerdict verdict = grade(findings);
  certificate.grade = verdict.grade;
  certificate.reasons = std::move(verdict.reasons);
  certificate.advice = advise(findings, certificate.grade);
  certificate.certified = certificate.grade != plan::Grade::inconclusive &&
                          static_cast<int>(certificate.grade) <= static_cast<int>(certificate.required_grade);
  certificate.drills = judge_drills(evidence, plan, certificate.incidents);
  certificate.notes = take_notes(evidence, plan);
  return certificate;
}

ExitCode exit_code(const Certificate& certificate) {
  if (certificate.grade == plan::Grade::inconclusive)
    return ExitCode::inconclusive;
  return certificate.certified ? ExitCode::certified : ExitCode::not_certified;
}

}  // namespace lockstep::certify
