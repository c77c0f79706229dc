#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "harness/cuda/stream.hpp"

/// Memory that the host and a device share, and copies between the two. DeviceMemory, the owner of memory on
/// a device, is in device.hpp; DeviceView is what refers to a part of it.
namespace lockstep::cuda {

/// A stretch of device memory that somebody else owns. The host must not follow the pointer.
struct DeviceView {
  std::byte* data = nullptr;
  std::size_t bytes = 0;
};

/// Owns page-locked host memory, which a device copies from and to without the host's help.
class PinnedMemory {
 public:
  /// Throws CudaError. 0 bytes allocate nothing.
  explicit PinnedMemory(std::size_t bytes);
  PinnedMemory(PinnedMemory&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  PinnedMemory& operator=(PinnedMemory&& other) noexcept;
  ~PinnedMemory();

  [[nodiscard]] std::span<std::byte> bytes() const { return {static_cast<std::byte*>(data_), bytes_}; }

 private:
  void release() noexcept;

  void* data_ = nullptr;
  std::size_t bytes_ = 0;
};

/// Memory of the current device.
struct MemoryState {
  std::uint64_t free_bytes = 0;
  std::uint64_t total_bytes = 0;
};
/// Throws CudaError.
[[nodiscard]] MemoryState memory_state();

/// Memory of the current device for owners of their own kind. allocate() gives nullptr when there is none
/// left and throws CudaError for every other failure; deallocate() never throws.
[[nodiscard]] std::byte* allocate(std::size_t bytes);
void deallocate(std::byte* memory) noexcept;

/// These return when the bytes are there. They throw CudaError.
void copy_to_device(std::byte* to, std::span<const std::byte> from);
void copy_to_host(std::span<std::byte> to, const std::byte* from);
void copy_on_device(std::byte* to, const std::byte* from, std::size_t bytes);
void clear(std::byte* to, std::size_t bytes);

/// These return at once; the work is done in the stream's order. The host's side must be pinned for that.
void copy_to_device(std::byte* to, std::span<const std::byte> from, const Stream& stream);
void copy_to_host(std::span<std::byte> to, const std::byte* from, const Stream& stream);
/// Between any two places of host and device.
void copy(void* to, const void* from, std::size_t bytes, const Stream& stream);

}  // namespace lockstep::cuda
