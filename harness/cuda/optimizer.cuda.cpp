#include "harness/cuda/optimizer.hpp"

#include <algorithm>

#include "harness/cuda/adam_arguments.hpp"
#include "harness/cuda/check.hpp"
#include "harness/cuda/runtime_compiler.hpp"

namespace lockstep::cuda {

using detail::check;

namespace {

constexpr unsigned kThreads = 256;
constexpr unsigned kBlocksPerMultiprocessor = 8;  // 2048 threads: all that one holds

int attribute(cudaDeviceAttr which) {
  int device = 0;
  int value = 0;
  check(::cudaGetDevice(&device), "cudaGetDevice");
  check(::cudaDeviceGetAttribute(&value, which, device), "cudaDeviceGetAttribute");
  return value;
}

}  // namespace

AdamKernel::AdamKernel() {
  blocks_ = kBlocksPerMultiprocessor * static_cast<unsigned>(attribute(cudaDevAttrMultiProcessorCount));
  const std::vector<char> code =
      compile_kernel(adam_kernel_source(), "adam_kernel.cu", attribute(cudaDevAttrComputeCapabilityMajor),
                     attribute(cudaDevAttrComputeCapabilityMinor));
  cudaLibrary_t library = nullptr;
  check(::cudaLibraryLoadData(&library, code.data(), nullptr, nullptr, 0, nullptr, nullptr, 0),
        "cudaLibraryLoadData");
  cudaKernel_t kernel = nullptr;
  const cudaError_t found = ::cudaLibraryGetKernel(&kernel, library, "adam_update");
  if (found != cudaSuccess)
    detail::ignore(::cudaLibraryUnload(library));
  check(found, "cudaLibraryGetKernel");
  library_ = library;
  kernel_ = kernel;
}

AdamKernel::~AdamKernel() {
  detail::ignore(::cudaLibraryUnload(static_cast<cudaLibrary_t>(library_)));
}

void AdamKernel::run(const AdamArrays& arrays, const AdamCoefficients& coefficients,
                     const Stream& stream) const {
  if (arrays.elements == 0)
    return;
  detail::AdamArguments arguments = detail::adam_arguments(arrays, coefficients);
  void* parameters[] = {&arguments};
  const std::uint64_t needed = (arrays.elements + kThreads - 1) / kThreads;
  const auto blocks = static_cast<unsigned>(std::min<std::uint64_t>(blocks_, needed));
  check(::cudaLaunchKernel(kernel_, dim3(blocks), dim3(kThreads), parameters, 0,
                           static_cast<cudaStream_t>(stream.handle())),
        "cudaLaunchKernel");
}

}  // namespace lockstep::cuda
