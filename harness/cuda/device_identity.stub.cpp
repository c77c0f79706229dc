#include "harness/cuda/device_identity.hpp"

#include "harness/cuda/refuse.hpp"

namespace lockstep::cuda {

std::string current_device_id() {
  detail::refuse("asking for the CUDA device");
}

}  // namespace lockstep::cuda
