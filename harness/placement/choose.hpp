#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "harness/core/cpu_set.hpp"
#include "harness/placement/gpu_environment.hpp"
#include "harness/placement/host_map.hpp"

namespace lockstep::placement {

/// The ranks of one machine in this leg, as each of them sees it.
struct LocalRanks {
  std::size_t self = 0;      ///< index of who asks
  std::vector<CpuSet> cpus;  ///< of each: where it may run
  /// This rank's place among all that the machine gets in any leg, and how many those are. Other than `self`
  /// and cpus.size() only where sites share a machine: a site alone has to use the GPUs that it has in the
  /// joint leg, or eta would compare GPUs.
  std::uint32_t slot = 0;
  std::uint32_t slots = 0;
};

/// Names of the network cards nearest to a GPU of `host`, such as "mlx5_0 (same PCI switch)"; empty: there is
/// none.
[[nodiscard]] std::string nic_names(const HostMap& host, const Gpu& gpu);

/// What a rank is to use, and what is wrong with it.
struct Choice {
  std::optional<VisibleGpu> gpu;  ///< nullopt: none is visible
  std::string reason;             ///< why this one
  CpuSet near;                    ///< CPUs at the GPU's place; empty where that is not known
  std::string nics;               ///< see nic_names()
  CpuSet narrower;                ///< where to bind a rank that its launcher left unbound; empty: leave it
  std::vector<std::string> warnings;  ///< one line each
};

/// One rank, one GPU. A pure function that gives every rank of a host the same idea of who has which:
/// - a rank that sees one GPU takes it: user or batch system decided;
/// - ranks that are bound to parts of the host take GPUs at their part first, those with the least choice
/// before
///   others, then by local rank (mpirun and srun bind rank 1 to the other socket, where GPU 1 is not);
/// - else slot i takes the i-th visible GPU, and begins anew where there are more slots than GPUs.
/// `visible` is what CUDA shows to this rank, in CUDA's order. Ranks that see several GPUs are taken to see
/// the same.
[[nodiscard]] Choice choose_gpu(const HostMap& host, const LocalRanks& ranks,
                                const std::vector<VisibleGpu>& visible);

}  // namespace lockstep::placement
