#pragma once

#include <memory>

#include "harness/compute/sgemm_library.hpp"
#include "harness/step/backends.hpp"

namespace lockstep::compute {

/// Computes in single precision on the calling thread: GEMMs with `library` (a batch is a loop over
/// consecutive matrices), updates with adam_update(). Throws InputError when an op of the graph is not f32,
/// or is too large for the library's 32-bit extents.
[[nodiscard]] std::unique_ptr<step::ComputeBackend> make_cpu_backend(const step::StepGraph& graph,
                                                                     SgemmLibrary library);

}  // namespace lockstep::compute
