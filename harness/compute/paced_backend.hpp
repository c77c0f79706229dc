#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "harness/step/backends.hpp"

namespace lockstep::compute {

/// Rates at which a paced rank pretends to compute.
struct PacedRates {
  double gflops = 0.0;       ///< of GEMMs, GFLOP/s (1e9)
  double memory_gbps = 0.0;  ///< of updates, GB/s (1e9)
};

/// Returns at, or shortly after, the given instant of CLOCK_MONOTONIC in ns; at once when it is past.
using SleepUntil = std::function<void(std::int64_t)>;

/// Waits as long as each op would take. An op begins when the one before was due or when it became ready,
/// whichever is later, and not when a late wake-up got round to it: lateness never adds up, and a step of
/// many ops is late by one wake-up at most. Throws InputError when a rate that the graph's ops need is not
/// above 0.
[[nodiscard]] std::unique_ptr<step::ComputeBackend> make_paced_backend(const step::StepGraph& graph,
                                                                       PacedRates rates,
                                                                       SleepUntil sleep_until);
/// With the real clock.
[[nodiscard]] std::unique_ptr<step::ComputeBackend> make_paced_backend(const step::StepGraph& graph,
                                                                       PacedRates rates);

}  // namespace lockstep::compute
