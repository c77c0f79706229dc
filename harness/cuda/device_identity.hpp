#pragma once

#include <string>

namespace lockstep::cuda {

/// PCI bus id of the device that is current for the calling thread, such as "0000:1b:00.0": the same GPU for
/// every process of a host, however its devices are numbered. Throws CudaError.
[[nodiscard]] std::string current_device_id();

}  // namespace lockstep::cuda
