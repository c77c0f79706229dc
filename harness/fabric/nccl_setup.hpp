#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "harness/cuda/nccl_api.hpp"
#include "harness/fabric/nccl_fabric.hpp"
#include "harness/mpi/communicator.hpp"
#include "harness/step/backends.hpp"
#include "harness/step/graph.hpp"

namespace lockstep::fabric {

/// What the ranks of a leg need to meet in NCCL.
struct NcclNeeds {
  const step::StepGraph& graph;
  const mpi::Communicator& leg;  ///< for the meeting only
  step::Memory& memory;          ///< of the device
  const cuda::NcclApi* api = nullptr;
  std::string no_api_reason{};  ///< why `api` is null
  std::string obstacle{};       ///< see nccl_obstacle()
  /// Machine and bus id of this rank's GPU; equal texts are the same GPU.
  std::function<std::string()> gpu{};
  bool share_gpu = false;
  NcclFabric::Order order = NcclFabric::Order::across_groups;
  cuda::NcclSettings settings{};
  /// Makes the queue of a group, with a mark for each communication of the graph.
  std::unique_ptr<cuda::Queue> (*make_queue)(std::size_t marks) = nullptr;
  double deadline_s = 60.0;  ///< for each of the two meetings, of all ranks and of all groups
};

/// Collective over the leg. A communicator of all ranks is made from an id that goes from rank 0 to the
/// others by MPI, and split for each group that some op uses. What goes wrong on one rank is thrown on all,
/// with the rank: InputError for what the user can change, RunError for the rest; mpi::DeadlineError and
/// mpi::MpiError where not even that could be agreed upon.
[[nodiscard]] std::unique_ptr<NcclFabric> meet_in_nccl(const NcclNeeds& needs);

/// Ranks that have their GPU in common with a lower one, as a sentence for the user; empty: none.
[[nodiscard]] std::string shared_gpus(const std::vector<std::string>& gpus);

}  // namespace lockstep::fabric
