#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "harness/record/evidence.hpp"
#include "harness/step/graph.hpp"

/// A step graph in the words of the evidence: what RankMeta holds of it.
namespace lockstep::record {

/// One row an op, in the graph's order.
[[nodiscard]] std::vector<GraphRow> graph_rows(std::uint32_t leg, const step::StepGraph& graph);

/// For every group of the graph: the ranks of the part that `rank` belongs to, ascending.
[[nodiscard]] std::map<std::string, std::vector<std::uint32_t>> group_parts(const step::StepGraph& graph,
                                                                            RankId rank);

}  // namespace lockstep::record
