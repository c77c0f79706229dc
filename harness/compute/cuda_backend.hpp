#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "harness/compute/cuda_queue.hpp"
#include "harness/compute/facts.hpp"
#include "harness/step/backends.hpp"

namespace lockstep::compute {

struct CudaOptions {
  int device = 0;            ///< as CUDA numbers the devices that this process may see
  std::string cache_folder;  ///< of the algorithms; empty: nothing is remembered
  CaptureMode capture = CaptureMode::automatic;
  int candidates =
      16;  ///< algorithms that are tried for each product; 1: the heuristic's favourite, unmeasured
  double search_budget_s = 1.0;      ///< for each product
  std::size_t checked_products = 8;  ///< in a step whose products are checked
  std::uint64_t fabric_bytes = 0;    ///< of buffers that the fabric adds to the graph's
};

/// Why this process cannot use `device`, in one line; empty when it can.
[[nodiscard]] std::string why_no_cuda(int device);

/// Computes on one GPU: products by cuBLASLt, the optimizer by a kernel that is compiled when the graph has
/// one.
///
/// Making it plans the memory and searches the algorithms, before any buffer exists: up to a second for each
/// distinct product when the cache does not know it. Fills `facts`. Throws InputError when the graph does not
/// fit the card's memory, or has an op that the card cannot do; RunError (CudaError) when the device does not
/// work.
///
/// It has a queue; run() serves those who want one op at a time.
[[nodiscard]] std::unique_ptr<step::ComputeBackend> make_cuda_backend(const step::StepGraph& graph,
                                                                      const CudaOptions& options,
                                                                      ComputeFacts& facts);

}  // namespace lockstep::compute
