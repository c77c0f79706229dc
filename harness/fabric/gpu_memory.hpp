#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "harness/cuda/memory.hpp"
#include "harness/step/backends.hpp"

namespace lockstep::fabric {

/// Memory of the device that is current when it is used. Every call but free() throws CudaError.
class GpuMemory final : public step::Memory {
 public:
  [[nodiscard]] std::byte* allocate(std::uint64_t bytes) override { return cuda::allocate(bytes); }
  void free(std::byte* memory) noexcept override { cuda::deallocate(memory); }
  void write(std::byte* to, std::span<const std::byte> from) override { cuda::copy_to_device(to, from); }
  void read(const std::byte* from, std::span<std::byte> to) override { cuda::copy_to_host(to, from); }
  void copy(std::byte* to, const std::byte* from, std::uint64_t bytes) override {
    cuda::copy_on_device(to, from, bytes);
  }
  void clear(std::byte* to, std::uint64_t bytes) override { cuda::clear(to, bytes); }
  [[nodiscard]] bool on_host() const override { return false; }
};

/// Host memory that a device copies from and to by itself. allocate() throws CudaError.
class PinnedHostMemory final : public step::Memory {
 public:
  [[nodiscard]] std::byte* allocate(std::uint64_t bytes) override;
  void free(std::byte* memory) noexcept override;
  void write(std::byte* to, std::span<const std::byte> from) override;
  void read(const std::byte* from, std::span<std::byte> to) override;
  void copy(std::byte* to, const std::byte* from, std::uint64_t bytes) override;
  void clear(std::byte* to, std::uint64_t bytes) override;
  [[nodiscard]] bool on_host() const override { return true; }

 private:
  std::vector<cuda::PinnedMemory> pieces_;
};

}  // namespace lockstep::fabric
