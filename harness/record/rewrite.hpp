#pragma once

#include <cstdint>
#include <set>
#include <span>

#include "harness/record/evidence.hpp"
#include "harness/record/run_file.hpp"

namespace lockstep::record {

/// Takes the rows of all other launches out of the evidence. Rows of the run as a whole stay.
void keep_launches(Evidence& evidence, const std::set<std::uint32_t>& kept);

/// A number that no incident of these has.
[[nodiscard]] std::uint32_t next_incident(std::span<const IncidentRow> incidents);

/// Appends every table. The ends of launches come last, as they do while a run is written: once they can be
/// seen, so can all the rest.
void append_evidence(RunFileWriter& writer, const Evidence& evidence);

}  // namespace lockstep::record
