#include "harness/record/rewrite.hpp"

#include <algorithm>
#include <span>
#include <vector>

namespace lockstep::record {
namespace {

template <class Row, class Keep>
void keep_only(std::vector<Row>& rows, Keep keep) {
  std::erase_if(rows, [&keep](const Row& row) { return !keep(row); });
}

}  // namespace

void keep_launches(Evidence& evidence, const std::set<std::uint32_t>& kept) {
  const auto is_kept = [&kept](const auto& row) { return kept.contains(row.leg); };
  keep_only(evidence.legs, is_kept);
  keep_only(evidence.leg_ends, is_kept);
  keep_only(evidence.ranks, is_kept);
  keep_only(evidence.graph, is_kept);
  keep_only(evidence.steps, is_kept);
  keep_only(evidence.comms, is_kept);
  keep_only(evidence.ops, is_kept);
  keep_only(evidence.clock, is_kept);
  keep_only(evidence.stalls, is_kept);
  keep_only(evidence.failures, is_kept);
  keep_only(evidence.incidents, is_kept);
  keep_only(evidence.checkpoints, is_kept);
  keep_only(evidence.probes, is_kept);
  keep_only(evidence.devices, is_kept);
  keep_only(evidence.health, is_kept);
  keep_only(evidence.drills, is_kept);
  keep_only(evidence.provenance, [&kept](const ProvenanceRow& row) {
    return row.leg < 0 || kept.contains(static_cast<std::uint32_t>(row.leg));
  });
}

std::uint32_t next_incident(std::span<const IncidentRow> incidents) {
  std::uint32_t next = 0;
  for (const IncidentRow& row : incidents)
    next = std::max(next, row.incident + 1);
  return next;
}

void append_evidence(RunFileWriter& writer, const Evidence& evidence) {
  const auto append = [&writer](const auto& rows) { writer.append(std::span(rows)); };
  append(evidence.provenance);
  append(evidence.legs);
  append(evidence.ranks);
  append(evidence.graph);
  append(evidence.steps);
  append(evidence.comms);
  append(evidence.ops);
  append(evidence.clock);
  append(evidence.stalls);
  append(evidence.failures);
  append(evidence.incidents);
  append(evidence.checkpoints);
  append(evidence.probes);
  append(evidence.devices);
  append(evidence.health);
  append(evidence.drills);
  append(evidence.events);
  writer.flush();
  append(evidence.leg_ends);  // once they can be seen, so can all the rest
  writer.flush();
}

}  // namespace lockstep::record
