#pragma once

#include <cstdint>
#include <string>

#include "harness/record/evidence.hpp"

/// Devices and their health, put into evidence of a launch that never ran.
namespace lockstep::tests {

/// A card under each rank of a launch, called "H200" with serial `1650<rank>`, that is read at the begin and
/// at the end of each of the rank's steps and is well.
void add_cards(record::Evidence& evidence, std::uint32_t leg);

/// Processors of one host, watched by its first rank, read in the same manner.
void add_processors(record::Evidence& evidence, std::uint32_t leg, const std::string& host);

/// The row of health that ends with this step of the rank's device.
[[nodiscard]] record::HealthRow& health_at(record::Evidence& evidence, std::uint32_t leg, std::uint32_t rank,
                                           std::uint32_t step);

/// These reasons in the rows that end with steps [first, last] of the rank's device.
void throttle(record::Evidence& evidence, std::uint32_t leg, std::uint32_t rank, std::uint32_t first,
              std::uint32_t last, std::int64_t bits);

}  // namespace lockstep::tests
