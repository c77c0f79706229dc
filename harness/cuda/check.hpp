#pragma once

#include <cuda_runtime_api.h>

#include "harness/cuda/device.hpp"

/// Of the files of this room that see the CUDA runtime.
namespace lockstep::cuda::detail {

/// Throws CudaError unless `code` is success. `call` is the function's name.
inline void check(cudaError_t code, const char* call) {
  if (code == cudaSuccess)
    return;
  static_cast<void>(::cudaGetLastError());  // a later call must not report this one
  throw CudaError(call, code, ::cudaGetErrorName(code), ::cudaGetErrorString(code));
}

/// For destructors: the error is forgotten, so that no later call reports it.
inline void ignore(cudaError_t code) noexcept {
  if (code != cudaSuccess)
    static_cast<void>(::cudaGetLastError());
}

}  // namespace lockstep::cuda::detail
