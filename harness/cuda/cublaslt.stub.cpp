#include "harness/cuda/libraries.hpp"

namespace lockstep::cuda {

std::string cublaslt_version() {
  return {};
}

}  // namespace lockstep::cuda
