#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "harness/core/error.hpp"
#include "harness/cuda/libraries.hpp"

/// The CUDA runtime behind RAII and checked calls. In a build without CUDA the same functions exist, find
/// nothing, and refuse to allocate. The driver is looked for when the first function is called, never when
/// the program starts, so that one program serves machines with and without GPUs.
namespace lockstep::cuda {

/// A CUDA call failed, or this build has none.
class CudaError : public RunError {
 public:
  /// `call` as it is written in the source, `name` such as "cudaErrorMemoryAllocation".
  CudaError(const std::string& call, int code, const std::string& name, const std::string& text);
  [[nodiscard]] int code() const { return code_; }

 private:
  int code_;
};

enum class DeviceState {
  not_built,       ///< this build has no CUDA
  no_driver,       ///< no driver on this machine
  driver_too_old,  ///< for the runtime of this build
  no_device,       ///< a driver and no GPU that this process may see
  failed,          ///< the driver reports another error
  ready,
};
[[nodiscard]] const char* to_string(DeviceState state);

struct DeviceInfo {
  int index = 0;  ///< as CUDA numbers the visible devices
  std::string name;
  std::uint64_t memory_bytes = 0;
  int compute_major = 0;  ///< compute capability
  int compute_minor = 0;
  std::uint64_t l2_bytes = 0;
  int multiprocessors = 0;
  std::string pci_bus_id;  ///< such as "0000:1b:00.0"; the same GPU for every process of a host
};

struct Detection {
  DeviceState state = DeviceState::not_built;
  std::string reason;  ///< one line; empty when ready
  LibraryVersions versions;
  std::vector<DeviceInfo> devices;  ///< empty unless ready
};

/// Looks for driver, libraries and GPUs. Reports what it finds and never throws for it. Allocates nothing on
/// a GPU.
[[nodiscard]] Detection detect();

/// Makes a device current for the calling thread and gives the one before back at the end. Throws CudaError.
class ScopedDevice {
 public:
  explicit ScopedDevice(int index);
  ScopedDevice(const ScopedDevice&) = delete;
  ScopedDevice& operator=(const ScopedDevice&) = delete;
  ~ScopedDevice();

 private:
  int before_ = 0;
};

/// Owns memory on the device that was current when it was made.
class DeviceMemory {
 public:
  /// Throws CudaError. 0 bytes allocate nothing.
  explicit DeviceMemory(std::size_t bytes);
  DeviceMemory(DeviceMemory&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  DeviceMemory& operator=(DeviceMemory&& other) noexcept;
  ~DeviceMemory();

  [[nodiscard]] void* data() const { return data_; }
  [[nodiscard]] std::size_t bytes() const { return bytes_; }
  /// Blocking copies of at most bytes() between the start of this memory and the host. Throw CudaError.
  void copy_from_host(std::span<const std::byte> source);
  void copy_to_host(std::span<std::byte> target) const;

 private:
  void release() noexcept;

  void* data_ = nullptr;
  std::size_t bytes_ = 0;
};

}  // namespace lockstep::cuda
