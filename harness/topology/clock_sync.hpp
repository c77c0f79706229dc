#pragma once

#include <cstdint>
#include <functional>

#include "harness/core/clock.hpp"
#include "harness/mpi/communicator.hpp"
#include "harness/topology/clock_tree.hpp"

namespace lockstep::topology {

struct ClockSyncOptions {
  std::uint32_t exchanges = 200;  ///< of each pair that measures; the one with the shortest round trip counts
  double pair_limit_s = 2.0;      ///< a pair stops early after this, but not before `least_exchanges`
  std::uint32_t least_exchanges = 10;
  double deadline_s = 60.0;  ///< for the whole of it
};

/// This rank's clock against rank 0's, as of now. Collective over `leg`, for which `tree` was built; takes
/// time, so call it before and after the steps.
///
/// Ranks that share a clock are given their leader's offset and a bound that covers how far `now_ns` strays
/// from CLOCK_MONOTONIC on either side (measured; about 0.1 us for FastClock). Pairs on different branches of
/// the tree measure at the same time, those with one parent one after the other; whoever is not measuring
/// sleeps.
///
/// Throws mpi::DeadlineError, mpi::MpiError.
[[nodiscard]] ClockEstimate synchronize_clocks(const mpi::Communicator& leg, const ClockTree& tree,
                                               const std::function<std::int64_t()>& now_ns,
                                               const ClockSyncOptions& options = {});
[[nodiscard]] ClockEstimate synchronize_clocks(const mpi::Communicator& leg, const ClockTree& tree,
                                               const FastClock& clock, const ClockSyncOptions& options = {});

}  // namespace lockstep::topology
