#pragma once

#include <string>
#include <vector>

/// The GPUs that CUDA shows to this process, by the driver's own library, which is looked for when it is
/// needed. So it works in every build, and a program that asks needs neither the CUDA runtime nor cuBLASLt to
/// be installed.
namespace lockstep::cuda {

struct DriverGpu {
  int ordinal = 0;     ///< as CUDA numbers them; CUDA_VISIBLE_DEVICES has been applied
  std::string bus_id;  ///< such as "0000:1B:00.0"
  std::string
      uuid;  ///< 8-4-4-4-12 hexadecimal digits, without "GPU-" or "MIG-"; empty where the driver lacks it
  std::string name;
};

struct DriverGpus {
  std::string reason;  ///< one line why there are none; empty when there are some
  std::vector<DriverGpu> gpus;
};

/// Loads the driver's library and initialises it for this process, which takes some 0.1 s a GPU and no memory
/// on it. Never throws for what it finds.
[[nodiscard]] DriverGpus driver_gpus(const std::string& library = "libcuda.so.1");

}  // namespace lockstep::cuda
