#pragma once

#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "harness/certify/drill_results.hpp"
#include "harness/certify/time_buckets.hpp"
#include "harness/record/evidence.hpp"
#include "harness/report/style.hpp"

/// Stalls and incidents as people and machines read them. Internal to this room.
namespace lockstep::report {

/// One bullet a stall: where, how long, what and who made it so, how sure that is, and why.
[[nodiscard]] std::string stall_lines(const std::vector<record::StallRow>& stalls, const Style& style);
[[nodiscard]] nlohmann::ordered_json stall_json(const record::StallRow& stall);

/// One bullet an incident: kind, culprit, confidence, the story, and what followed.
[[nodiscard]] std::string incident_lines(const std::vector<record::IncidentRow>& incidents,
                                         const Style& style);
[[nodiscard]] nlohmann::ordered_json incident_json(const record::IncidentRow& incident);

/// What became of each drill, as a table.
[[nodiscard]] std::string drill_table(const std::vector<certify::DrillResult>& drills, const Style& style);
/// Where the time went: seconds and share of the wall time.
[[nodiscard]] std::string time_table(const certify::TimeAccount& account, const Style& style);

}  // namespace lockstep::report
