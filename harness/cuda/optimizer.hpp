#pragma once

#include <cstdint>
#include <optional>

#include "harness/cuda/matmul.hpp"
#include "harness/cuda/stream.hpp"

/// The optimizer's pass on a device.
namespace lockstep::cuda {

/// Device addresses of `elements` numbers each, f32 but for the copy.
struct AdamArrays {
  std::uint64_t elements = 0;
  const float* gradients = nullptr;
  float* parameters = nullptr;
  float* first_moments = nullptr;
  float* second_moments = nullptr;
  void* copy = nullptr;                ///< of the new parameters
  std::optional<Element> copy_type{};  ///< bf16, f16 or fp8; nothing without a copy
};

/// As compute::AdamSettings.
struct AdamCoefficients {
  float rate = 0.0F;
  float first_decay = 0.0F;
  float second_decay = 0.0F;
  float epsilon = 0.0F;
  float weight_decay = 0.0F;
};

/// The kernel, compiled for the current device.
///
/// Compiled at run time by NVRTC and not at build time by nvcc: one text serves every card, older and newer
/// ones than the build knew of, the build needs no second compiler, and a machine without NVRTC can still
/// multiply.
class AdamKernel {
 public:
  /// Takes some 0.1 s. Throws CudaError when NVRTC is not there or the device is unknown to it.
  AdamKernel();
  AdamKernel(const AdamKernel&) = delete;
  AdamKernel& operator=(const AdamKernel&) = delete;
  ~AdamKernel();

  /// Gives the pass to the stream. Throws CudaError.
  void run(const AdamArrays& arrays, const AdamCoefficients& coefficients, const Stream& stream) const;

 private:
  void* library_ = nullptr;
  void* kernel_ = nullptr;
  unsigned blocks_ = 0;
};

}  // namespace lockstep::cuda
