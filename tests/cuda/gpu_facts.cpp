// One line of JSON about the GPUs, the driver and CUDA's libraries as this build finds them.
// scripts/gpu-check keeps it.

#include <cstdio>

#include <nlohmann/json.hpp>

#include "harness/cuda/device.hpp"

int main() {
  using namespace lockstep;
  const cuda::Detection found = cuda::detect();
  nlohmann::ordered_json devices = nlohmann::ordered_json::array();
  for (const cuda::DeviceInfo& device : found.devices) {
    devices.push_back({{"index", device.index},
                       {"name", device.name},
                       {"memory_bytes", device.memory_bytes},
                       {"compute_capability",
                        std::to_string(device.compute_major) + "." + std::to_string(device.compute_minor)},
                       {"pci_bus_id", device.pci_bus_id}});
  }
  const nlohmann::ordered_json facts = {{"state", cuda::to_string(found.state)},
                                        {"reason", found.reason},
                                        {"cuda_runtime", found.versions.runtime},
                                        {"cuda_driver", found.versions.driver},
                                        {"cublaslt", found.versions.cublaslt},
                                        {"nccl", found.versions.nccl},
                                        {"devices", devices}};
  const std::string line = facts.dump(-1, ' ', true, nlohmann::ordered_json::error_handler_t::replace);
  std::printf("%s\n", line.c_str());
}
