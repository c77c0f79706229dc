#pragma once

#include <string>
#include <vector>

#include "harness/record/evidence.hpp"

namespace lockstep::certify {

/// What ended launches of the run or spoilt their data, in the order of launches. Rows that the run file
/// holds are taken as they are: they rest on what the controller saw beside the evidence. For a launch
/// without any, what its evidence alone gives.
[[nodiscard]] std::vector<record::IncidentRow> collect_incidents(const record::Evidence& evidence);

/// The joint leg's first; one that ended a launch goes before wrong data. nullptr when there is none. Points
/// into `incidents`.
[[nodiscard]] const record::IncidentRow* joint_incident(const record::Evidence& evidence,
                                                        const std::vector<record::IncidentRow>& incidents);

/// `rank killed, rank 4 on b2 (confidence 0.95)`
[[nodiscard]] std::string in_words(const record::IncidentRow& incident);

}  // namespace lockstep::certify
