#include <nccl.h>

#include "harness/cuda/libraries.hpp"

namespace lockstep::cuda {

std::string nccl_version() {
  int version = 0;
  if (::ncclGetVersion(&version) != ncclSuccess)
    return {};
  // major * 10000 + minor * 100 + patch since 2.9; major * 1000 + minor * 100 + patch before.
  const int major = version < 10000 ? version / 1000 : version / 10000;
  const int minor = version < 10000 ? version / 100 % 10 : version / 100 % 100;
  return std::to_string(major) + "." + std::to_string(minor) + "." + std::to_string(version % 100);
}

}  // namespace lockstep::cuda
