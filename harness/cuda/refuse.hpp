#pragma once

#include "harness/cuda/device.hpp"

/// Of the stub twins.
namespace lockstep::cuda::detail {

inline constexpr const char* kNotBuilt = "this build of Lockstep has no CUDA";

[[noreturn]] inline void refuse(const char* call) {
  throw CudaError(call, -1, "not built", kNotBuilt);
}

}  // namespace lockstep::cuda::detail
