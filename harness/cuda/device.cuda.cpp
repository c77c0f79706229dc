#include "harness/cuda/device.hpp"

#include "harness/cuda/check.hpp"

namespace lockstep::cuda {

using detail::check;

namespace {

/// major * 1000 + minor * 10; 0 means none.
std::string cuda_version_text(int version) {
  if (version <= 0)
    return {};
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

DeviceState state_of(cudaError_t code, int driver_version) {
  if (code == cudaSuccess)
    return DeviceState::ready;
  if (driver_version == 0)
    return DeviceState::no_driver;
  switch (code) {
    case cudaErrorInsufficientDriver:
      return DeviceState::driver_too_old;
    case cudaErrorNoDevice:
      return DeviceState::no_device;
    default:
      return DeviceState::failed;
  }
}

DeviceInfo describe(int index) {
  cudaDeviceProp properties{};
  check(::cudaGetDeviceProperties(&properties, index), "cudaGetDeviceProperties");
  char bus_id[32] = {};
  check(::cudaDeviceGetPCIBusId(bus_id, sizeof bus_id, index), "cudaDeviceGetPCIBusId");
  DeviceInfo info;
  info.index = index;
  info.name = properties.name;
  info.memory_bytes = properties.totalGlobalMem;
  info.compute_major = properties.major;
  info.compute_minor = properties.minor;
  info.pci_bus_id = bus_id;
  info.l2_bytes = static_cast<std::uint64_t>(properties.l2CacheSize);
  info.multiprocessors = properties.multiProcessorCount;
  return info;
}

void list_devices(int count, Detection& found) {
  try {
    for (int index = 0; index < count; ++index)
      found.devices.push_back(describe(index));
  } catch (const CudaError& error) {
    found.devices.clear();
    found.state = DeviceState::failed;
    found.reason = error.what();
  }
}

}  // namespace

Detection detect() {
  Detection found;
  int runtime = 0;
  int driver = 0;
  static_cast<void>(::cudaRuntimeGetVersion(&runtime));
  static_cast<void>(::cudaDriverGetVersion(&driver));
  found.versions = {cuda_version_text(runtime), cuda_version_text(driver), cublaslt_version(),
                    nccl_version()};
  int count = 0;
  const cudaError_t code = ::cudaGetDeviceCount(&count);
  static_cast<void>(::cudaGetLastError());
  found.state = state_of(code, driver);
  if (found.state == DeviceState::ready && count == 0)
    found.state = DeviceState::no_device;
  if (found.state == DeviceState::no_driver)
    found.reason = "no NVIDIA driver on this machine";
  else if (code != cudaSuccess)
    found.reason = ::cudaGetErrorString(code);
  else if (count == 0)
    found.reason = "the driver shows no GPU to this process";
  else
    list_devices(count, found);
  return found;
}

ScopedDevice::ScopedDevice(int index) {
  check(::cudaGetDevice(&before_), "cudaGetDevice");
  check(::cudaSetDevice(index), "cudaSetDevice");
}

ScopedDevice::~ScopedDevice() {
  static_cast<void>(::cudaSetDevice(before_));
}

DeviceMemory::DeviceMemory(std::size_t bytes) {
  if (bytes == 0)
    return;
  check(::cudaMalloc(&data_, bytes), "cudaMalloc");
  bytes_ = bytes;
}

void DeviceMemory::release() noexcept {
  if (data_ != nullptr)
    detail::ignore(::cudaFree(data_));
  data_ = nullptr;
  bytes_ = 0;
}

void DeviceMemory::copy_from_host(std::span<const std::byte> source) {
  LOCKSTEP_EXPECT(source.size() <= bytes_, "copy beyond the end of device memory");
  if (!source.empty())
    check(::cudaMemcpy(data_, source.data(), source.size(), cudaMemcpyHostToDevice), "cudaMemcpy to device");
}

void DeviceMemory::copy_to_host(std::span<std::byte> target) const {
  LOCKSTEP_EXPECT(target.size() <= bytes_, "copy beyond the end of device memory");
  if (!target.empty())
    check(::cudaMemcpy(target.data(), data_, target.size(), cudaMemcpyDeviceToHost), "cudaMemcpy to host");
}

}  // namespace lockstep::cuda
