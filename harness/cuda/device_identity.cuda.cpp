#include "harness/cuda/device_identity.hpp"

#include "harness/cuda/check.hpp"

namespace lockstep::cuda {

std::string current_device_id() {
  int index = 0;
  detail::check(::cudaGetDevice(&index), "cudaGetDevice");
  char bus_id[32] = {};
  detail::check(::cudaDeviceGetPCIBusId(bus_id, sizeof bus_id, index), "cudaDeviceGetPCIBusId");
  return bus_id;
}

}  // namespace lockstep::cuda
