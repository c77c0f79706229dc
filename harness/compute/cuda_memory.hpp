#pragma once

#include "harness/step/backends.hpp"

namespace lockstep::compute {

/// Memory of one device for a graph's buffers. Works on any thread.
class CudaMemory final : public step::Memory {
 public:
  explicit CudaMemory(int device) : device_(device) {}
  [[nodiscard]] std::byte* allocate(std::uint64_t bytes) override;
  void free(std::byte* memory) noexcept override;
  void write(std::byte* to, std::span<const std::byte> from) override;
  void read(const std::byte* from, std::span<std::byte> to) override;
  void copy(std::byte* to, const std::byte* from, std::uint64_t bytes) override;
  void clear(std::byte* to, std::uint64_t bytes) override;
  [[nodiscard]] bool on_host() const override { return false; }

 private:
  int device_;
};

}  // namespace lockstep::compute
