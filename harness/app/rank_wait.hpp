#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "harness/core/cpu_set.hpp"
#include "harness/plan/plan.hpp"
#include "harness/step/executor.hpp"

namespace lockstep::app {

/// How a rank's threads wait, and why; recorded with the rank.
struct WaitChoice {
  step::WaitMode mode = step::WaitMode::backoff;
  std::string reason;
};

/// Whether the ranks of a machine have a core for every thread that is busy at the same time.
struct CoreShare {
  CpuSet own;                      ///< CPUs of this rank
  std::vector<CpuSet> on_machine;  ///< of every rank on its host, itself included
  int busy_threads = 0;            ///< of one rank while it computes (0 for paced compute)
};

/// Spins where each rank has a core for every busy thread and one for communication, backs off elsewhere:
/// ranks that wait must not burn the core that others compute on. `wanted` other than automatic is obeyed.
[[nodiscard]] WaitChoice choose_wait(plan::Progress wanted, const CoreShare& share);

/// True when the compute threads of a machine's ranks alone are more than its cores: they would slow each
/// other down, and the run would measure the machine instead of the sites.
[[nodiscard]] bool is_oversubscribed(const CoreShare& share);

}  // namespace lockstep::app
