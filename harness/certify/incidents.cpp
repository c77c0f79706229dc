#include "harness/certify/incidents.hpp"

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "harness/plan/plan.hpp"
#include "harness/watch/incidents.hpp"
#include "harness/watch/launch_view.hpp"

namespace lockstep::certify {

std::vector<record::IncidentRow> collect_incidents(const record::Evidence& evidence) {
  std::vector<record::IncidentRow> incidents = evidence.incidents;
  std::set<std::uint32_t> told;
  std::uint32_t next = 0;
  for (const record::IncidentRow& row : incidents) {
    told.insert(row.leg);
    next = std::max(next, row.incident + 1);
  }
  // Most launches went well: rows are sorted only for those that did not.
  std::set<std::uint32_t> troubled;
  for (const record::LegEndRow& row : evidence.leg_ends) {
    if (row.outcome != "completed")
      troubled.insert(row.leg);
  }
  for (const record::FailureRow& row : evidence.failures)
    troubled.insert(row.leg);
  for (const record::HealthRow& row : evidence.health) {
    if (row.ecc_uncorrected > 0 || row.xid > 0 || row.remap_failed > 0)
      troubled.insert(row.leg);
  }
  for (const std::uint32_t leg : troubled) {
    if (told.contains(leg))
      continue;
    for (record::IncidentRow& row : watch::find_incidents(watch::view_of(evidence, leg))) {
      row.incident = next++;
      incidents.push_back(std::move(row));
    }
  }
  std::stable_sort(incidents.begin(), incidents.end(),
                   [](const auto& a, const auto& b) { return a.leg < b.leg; });
  return incidents;
}

const record::IncidentRow* joint_incident(const record::Evidence& evidence,
                                          const std::vector<record::IncidentRow>& incidents) {
  std::set<std::uint32_t> joint;
  for (const record::LegRow& leg : evidence.legs) {
    if (leg.kind == plan::to_string(plan::LegKind::joint))
      joint.insert(leg.leg);
  }
  const record::IncidentRow* found = nullptr;
  for (const record::IncidentRow& row : incidents) {
    const bool graver =
        found == nullptr || (watch::spoils_only(found->kind) && !watch::spoils_only(row.kind));
    if (joint.contains(row.leg) && graver)
      found = &row;
  }
  return found;
}

std::string in_words(const record::IncidentRow& incident) {
  std::string kind = incident.kind;
  std::replace(kind.begin(), kind.end(), '_', ' ');
  return fmt::format("{}{}{} (confidence {:.2f})", kind, incident.culprit.empty() ? "" : ", ",
                     incident.culprit, incident.confidence);
}

}  // namespace lockstep::certify
