#pragma once

#include <string>
#include <vector>

#include "harness/cuda/nccl_environment.hpp"
#include "harness/fabric/hierarchy.hpp"
#include "harness/plan/plan.hpp"

namespace lockstep::fabric {

/// One line of provenance.
struct Fact {
  std::string key;  ///< begins with "fabric." or "nccl."
  std::string value;
};

/// What a rank puts on record about what sends for it.
struct FabricFacts {
  std::string description;  ///< such as "nccl, hierarchical"
  std::vector<Fact> details;
};

/// What is known of NCCL besides the plan.
struct NcclState {
  std::string version;  ///< empty: none was found
  std::string path;
  std::vector<cuda::NcclSetting> settings;
};
/// Of this process. Loads NCCL.
[[nodiscard]] NcclState nccl_state();

/// What `fabric` amounts to: pure. `nccl` is looked at for that backend only, `mpi_cuda_support` ("yes",
/// "no", "unknown") for the two that send device memory through MPI.
[[nodiscard]] FabricFacts describe_fabric(const plan::Fabric& fabric, const HierarchyPlan& layout,
                                          const NcclState& nccl, const std::string& mpi_cuda_support);
/// The same with what this process has.
[[nodiscard]] FabricFacts describe_fabric(const plan::Fabric& fabric, const HierarchyPlan& layout);

/// Why NCCL cannot be used with these settings; empty: it can. `concurrent`: several communicators work at
/// the same time, in orders that differ from rank to rank.
[[nodiscard]] std::string nccl_obstacle(const std::vector<cuda::NcclSetting>& settings,
                                        const std::string& device_connections, bool concurrent);

}  // namespace lockstep::fabric
