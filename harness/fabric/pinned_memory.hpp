#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "harness/cuda/memory.hpp"
#include "harness/step/backends.hpp"

namespace lockstep::fabric {

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
