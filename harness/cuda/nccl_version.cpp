#include "harness/cuda/libraries.hpp"
#include "harness/cuda/nccl_api.hpp"

namespace lockstep::cuda {

std::string nccl_version() {
  const NcclApi* api = nccl_library().api;
  int version = 0;
  if (api == nullptr || api->get_version(&version) != kNcclSuccess)
    return {};
  // major * 10000 + minor * 100 + patch since 2.9; major * 1000 + minor * 100 + patch before.
  const int major = version < 10000 ? version / 1000 : version / 10000;
  const int minor = version < 10000 ? version / 100 % 10 : version / 100 % 100;
  return std::to_string(major) + "." + std::to_string(minor) + "." + std::to_string(version % 100);
}

}  // namespace lockstep::cuda
