#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "harness/fabric/hierarchy.hpp"
#include "harness/mpi/communicator.hpp"
#include "harness/plan/plan.hpp"
#include "harness/step/backends.hpp"
#include "harness/step/graph.hpp"

namespace lockstep::fabric {

/// The graph as the fabric carries it: with the phases of hierarchical all-reduces, where the plan asks for
/// them. The BufferSet and the fabric are made for its graph.
[[nodiscard]] HierarchyPlan lay_out(const plan::Fabric& fabric, const step::StepGraph& graph,
                                    const step::RankLayout& layout);

/// Where the buffers have to be for this fabric, when what computes has them in `computes_in`: there, or in
/// `gpu` for compute that needs no GPU (null where the fabric needs none either). Throws InputError when the
/// two do not fit together.
[[nodiscard]] step::Memory& memory_for(const plan::Fabric& fabric, step::Memory& computes_in,
                                       step::Memory* gpu);

/// What a fabric is made of besides the plan.
struct FabricNeeds {
  const HierarchyPlan& layout;   ///< outlives the fabric
  const mpi::Communicator& leg;  ///< whose ranks are the graph's RankIds
  step::Memory& memory;          ///< of the buffers; outlives the fabric
  std::string machine;           ///< tells machines apart, for ranks that share a GPU
  double deadline_s = 60.0;      ///< for any rank, at each of the meetings
};

/// The fabric backend that the plan asks for, ready for the layout's graph. Collective over the leg; the
/// current device of the calling thread is the one that it sends from. Throws InputError when this build or
/// machine has no such backend or it cannot carry the graph, RunError; mpi::DeadlineError, mpi::MpiError.
[[nodiscard]] std::unique_ptr<step::FabricBackend> make_fabric(const plan::Fabric& fabric,
                                                               const FabricNeeds& needs);

/// Longest that make_fabric() may take, for whoever watches over it.
[[nodiscard]] double set_up_allowance_s(const plan::Fabric& fabric, double deadline_s);

}  // namespace lockstep::fabric
