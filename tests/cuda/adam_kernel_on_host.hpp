#pragma once

#include <cstdint>

#include "harness/cuda/adam_arguments.hpp"

namespace lockstep::cuda::testing {

/// The device's kernel, compiled for the CPU, as a grid of 3 blocks of 5 threads.
void adam_kernel_on_host(const detail::AdamArguments& arguments);

/// The kernel's conversion to a narrow format.
[[nodiscard]] unsigned narrow_on_host(float value, const detail::AdamArguments& format);

}  // namespace lockstep::cuda::testing
