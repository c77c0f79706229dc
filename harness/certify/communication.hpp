#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "harness/certify/launches.hpp"
#include "harness/certify/metrics.hpp"

/// Figures of the joint leg's communication. Internal to this room.
namespace lockstep::certify {

[[nodiscard]] std::vector<CommFigures> figure_comms(const std::vector<Round>& rounds, std::size_t sites);

/// nullopt when some steady step lacks a communication of the graph on some rank: then an absence could pass
/// for speed. Zeros when the graph has none between sites.
[[nodiscard]] std::optional<WanFigures> figure_wan(const std::vector<Round>& rounds, std::size_t sites);

/// Seconds that the communications between sites took in each steady step of a launch, waiting taken off: the
/// longest of any rank, summed over operations. Steps without such a communication are left out.
[[nodiscard]] std::map<std::uint32_t, double> wan_transfer_by_step(const Launch& launch);

}  // namespace lockstep::certify
