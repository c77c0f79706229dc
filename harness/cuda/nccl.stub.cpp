#include "harness/cuda/libraries.hpp"

namespace lockstep::cuda {

std::string nccl_version() {
  return {};
}

}  // namespace lockstep::cuda
