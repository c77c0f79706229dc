#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "harness/placement/gpu_environment.hpp"

/// What only shows when the ranks of a host tell each other which GPU they took.
namespace lockstep::placement {

struct TakenGpu {
  std::string machine;  ///< equal for ranks that share GPUs: the boot id of their kernel
  std::string bus_id;   ///< empty: none
  std::string uuid;     ///< empty where not known
};
/// One line for the way to other ranks, and back. Throws RunError when another version of the program wrote
/// it.
[[nodiscard]] std::string encode(const TakenGpu& taken);
[[nodiscard]] TakenGpu decode_taken_gpu(std::string_view line);

/// Warnings about the machine of rank `self`, the same on all of its ranks: several ranks on one GPU, and
/// GPUs that no rank uses though this rank sees them. `all` by rank. `slots`: ranks that the machine gets in
/// any leg; with fewer here, GPUs are left free on purpose.
[[nodiscard]] std::vector<std::string> sharing_warnings(const std::vector<TakenGpu>& all, std::size_t self,
                                                        const std::vector<VisibleGpu>& visible,
                                                        std::uint32_t slots);

}  // namespace lockstep::placement
