#pragma once

#include <vector>

#include "harness/record/evidence.hpp"
#include "harness/watch/launch_facts.hpp"
#include "harness/watch/launch_view.hpp"

/// What cards and processors tell of themselves, and what their results tell of them. Internal to this room.
namespace lockstep::watch {

/// A whole row for every device that showed new uncorrected memory errors, an Xid event or a row of memory
/// that could not be remapped, with its serial number. Counters are compared with those of the launch's
/// begin.
[[nodiscard]] std::vector<record::IncidentRow> find_device_errors(const LaunchView& view,
                                                                  const LaunchFacts& facts);

/// A whole row for every rank whose computed results failed their checksums (failures of the kind
/// `checksum`): its device computes wrongly without a word.
[[nodiscard]] std::vector<record::IncidentRow> find_silent_corruption(const LaunchView& view,
                                                                      const LaunchFacts& facts);

/// From this confidence on a device error is the hardware's, and what ended the launch on its rank is its
/// consequence.
inline constexpr double kDeviceIsToBlame = 0.9;

}  // namespace lockstep::watch
