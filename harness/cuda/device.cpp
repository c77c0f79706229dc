#include "harness/cuda/device.hpp"

namespace lockstep::cuda {

CudaError::CudaError(const std::string& call, int code, const std::string& name, const std::string& text)
    : RunError({.what = call + " failed",
                .why = name + ": " + text,
                .suggestion = "look at nvidia-smi, or use compute backend \"cpu\" or \"paced\"",
                .file = {}}),
      code_(code) {}

const char* to_string(DeviceState state) {
  switch (state) {
    case DeviceState::not_built:
      return "not built";
    case DeviceState::no_driver:
      return "no driver";
    case DeviceState::driver_too_old:
      return "driver too old";
    case DeviceState::no_device:
      return "no device";
    case DeviceState::failed:
      return "failed";
    case DeviceState::ready:
      return "ready";
  }
  return "?";
}

DeviceMemory& DeviceMemory::operator=(DeviceMemory&& other) noexcept {
  if (this != &other) {
    release();
    data_ = std::exchange(other.data_, nullptr);
    bytes_ = std::exchange(other.bytes_, 0);
  }
  return *this;
}

DeviceMemory::~DeviceMemory() {
  release();
}

}  // namespace lockstep::cuda
