#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "harness/step/graph.hpp"

/// What a graph needs on a device, before anything is allocated. Pure.
namespace lockstep::compute {

struct DeviceLimits {
  std::uint64_t free_bytes = 0;
  std::uint64_t l2_bytes = 0;
  std::uint64_t workspace_bytes = std::uint64_t{64} << 20;  ///< of cuBLASLt; NVIDIA asks for 32 MiB on Hopper
  /// Left for the context's growth, kernels that are loaded, NCCL's buffers and who else uses the card.
  std::uint64_t reserve_bytes = std::uint64_t{1} << 30;
  std::uint64_t fabric_bytes = 0;  ///< buffers that the fabric adds to the graph's
};

/// Extra copies of a buffer that products read and nothing writes: they are taken in turns, so that the
/// second-level cache does not serve a product with what the one before it left there.
struct Rotation {
  BufferId buffer;
  std::uint32_t copies = 0;  ///< beside the buffer itself
};

struct DevicePlan {
  std::uint64_t buffer_bytes = 0;  ///< each buffer rounded up to the allocator's 256 bytes
  std::uint64_t rotation_bytes = 0;
  std::uint64_t workspace_bytes = 0;
  std::uint64_t reserve_bytes = 0;
  std::uint64_t fabric_bytes = 0;
  std::vector<Rotation> rotations;
  [[nodiscard]] std::uint64_t total_bytes() const {
    return buffer_bytes + rotation_bytes + workspace_bytes + reserve_bytes + fabric_bytes;
  }
};

/// Buffers of the graph that some product reads and no op writes.
[[nodiscard]] std::vector<BufferId> only_read(const step::StepGraph& graph);

/// Buffers and workspace must fit; copies are made as far as there is room, at most 7 of a buffer, and none
/// of one that is larger than twice the cache by itself. Throws InputError, with each part in GiB, when it
/// does not fit.
[[nodiscard]] DevicePlan plan_device(const step::StepGraph& graph, const DeviceLimits& limits);

/// `137.4 GiB`: one decimal, however large.
[[nodiscard]] std::string gib(std::uint64_t bytes);

}  // namespace lockstep::compute
