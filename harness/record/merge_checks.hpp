#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "harness/record/evidence.hpp"

/// What can be judged of a launch while its journals are brought together. Internal to this room.
namespace lockstep::record {

/// A failure seen from outside of the run: no step, no op, no time of its own.
[[nodiscard]] FailureRow make_failure(std::uint32_t leg, std::int32_t rank, std::string kind,
                                      std::string message);

/// Checksum of the reduced data that one rank holds after a step.
struct RankChecksum {
  std::uint32_t rank = 0;
  std::uint64_t checksum = 0;
};

/// All ranks of `part` must hold the same data. Where most of them agree, one row for each of the others;
/// where there is no majority, one row (rank -1) that names all of them with what they hold.
[[nodiscard]] std::vector<FailureRow> compare_checksums(std::uint32_t leg, std::uint32_t step,
                                                        const std::string& group,
                                                        std::span<const RankChecksum> part);

/// `3, 7-9`
[[nodiscard]] std::string name_ranks(std::span<const std::uint32_t> ascending);

}  // namespace lockstep::record
