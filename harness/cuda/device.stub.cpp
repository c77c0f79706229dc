#include "harness/cuda/device.hpp"

#include "harness/cuda/refuse.hpp"

namespace lockstep::cuda {

using detail::kNotBuilt;
using detail::refuse;

Detection detect() {
  Detection found;
  found.reason = kNotBuilt;
  found.versions = {{}, {}, cublaslt_version(), nccl_version()};
  return found;
}

ScopedDevice::ScopedDevice(int /*index*/) {
  refuse("choosing a CUDA device");
}
ScopedDevice::~ScopedDevice() {}  // never reached: no object was made

DeviceMemory::DeviceMemory(std::size_t bytes) {
  if (bytes > 0)
    refuse("allocating CUDA memory");
}

void DeviceMemory::release() noexcept {
  data_ = nullptr;
  bytes_ = 0;
}

void DeviceMemory::copy_from_host(std::span<const std::byte> source) {
  LOCKSTEP_EXPECT(source.empty(), "copy beyond the end of device memory");
}

void DeviceMemory::copy_to_host(std::span<std::byte> target) const {
  LOCKSTEP_EXPECT(target.empty(), "copy beyond the end of device memory");
}

}  // namespace lockstep::cuda
