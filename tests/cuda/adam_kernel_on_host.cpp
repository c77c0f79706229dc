#include "tests/cuda/adam_kernel_on_host.hpp"

#include <bit>
#include <cmath>
#include <cstring>

// What CUDA has and C++ has not, for one thread at a time.
#define __global__
#define __device__
namespace on_host {

struct Position {
  unsigned x = 0;
};
Position gridDim{3};
Position blockDim{5};
Position blockIdx;
Position threadIdx;

inline unsigned __float_as_uint(float value) {
  return std::bit_cast<unsigned>(value);
}
inline float sqrtf(float value) {
  return std::sqrt(value);
}

#include "harness/cuda/adam_kernel.cu"

}  // namespace on_host

namespace lockstep::cuda::testing {

void adam_kernel_on_host(const detail::AdamArguments& arguments) {
  static_assert(sizeof(detail::AdamArguments) == sizeof(on_host::AdamArguments));
  on_host::AdamArguments same;
  std::memcpy(static_cast<void*>(&same), &arguments, sizeof same);
  for (on_host::blockIdx.x = 0; on_host::blockIdx.x < on_host::gridDim.x; ++on_host::blockIdx.x) {
    for (on_host::threadIdx.x = 0; on_host::threadIdx.x < on_host::blockDim.x; ++on_host::threadIdx.x)
      on_host::adam_update(same);
  }
}

unsigned narrow_on_host(float value, const detail::AdamArguments& format) {
  return on_host::narrow(value, format.fraction_bits, format.exponent_bias, format.largest,
                         8 * format.copy_bytes - 1);
}

}  // namespace lockstep::cuda::testing
