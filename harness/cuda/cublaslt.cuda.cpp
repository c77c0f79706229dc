#include <cublasLt.h>

#include "harness/cuda/libraries.hpp"

namespace lockstep::cuda {

std::string cublaslt_version() {
  // major * 10000 + minor * 100 + patch
  const std::size_t version = ::cublasLtGetVersion();
  return std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100) + "." +
         std::to_string(version % 100);
}

}  // namespace lockstep::cuda
