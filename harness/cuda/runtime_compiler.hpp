#pragma once

#include <string>
#include <vector>

/// NVRTC, loaded when it is first needed.
namespace lockstep::cuda {

/// Text of harness/cuda/adam_kernel.cu.
[[nodiscard]] const char* adam_kernel_source();

/// Machine code of `source` for devices of that compute capability. Needs no device and no driver. Throws
/// CudaError when NVRTC is not there, does not know the capability, or finds an error, which it then tells.
[[nodiscard]] std::vector<char> compile_kernel(const std::string& source, const std::string& name, int major,
                                               int minor);

/// Whether NVRTC is on this machine, where this build looks for it.
[[nodiscard]] bool has_runtime_compiler();

}  // namespace lockstep::cuda
