#pragma once

#include "harness/app/rank_options.hpp"
#include "harness/watch/supervisor.hpp"

namespace lockstep::app {

/// A whole launch, seen from one rank: choose the kernel, join the others, agree on who is where, run the
/// steps, leave the evidence. Returns the exit code: 0 when everything planned was run and recorded (whatever
/// it showed), or as much as there was time for when it was asked to stop (SIGUSR1), 2 or 5 when all ranks
/// agree that it cannot be run.
///
/// Throws InputError and RunError before MPI is up. Later, a rank that alone knows of a fault ends its
/// process with _exit: teardown calls no collective then.
[[nodiscard]] int run_rank(const RankOptions& options, watch::Supervised& supervised, int& argc,
                           char**& argv);

}  // namespace lockstep::app
