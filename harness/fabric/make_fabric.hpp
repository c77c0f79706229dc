#pragma once

#include <memory>

#include "harness/mpi/communicator.hpp"
#include "harness/plan/plan.hpp"
#include "harness/step/backends.hpp"
#include "harness/step/graph.hpp"

namespace lockstep::fabric {

/// The fabric backend that the plan asks for, ready for this graph. Collective over `leg`, whose ranks are
/// the graph's RankIds; waits at most `set_up_deadline_s` for any rank. Throws InputError when this build has
/// no such backend or it cannot carry the graph; mpi::DeadlineError, mpi::MpiError.
[[nodiscard]] std::unique_ptr<step::FabricBackend> make_fabric(const plan::Fabric& fabric,
                                                               const step::StepGraph& graph,
                                                               const mpi::Communicator& leg,
                                                               double set_up_deadline_s);

}  // namespace lockstep::fabric
