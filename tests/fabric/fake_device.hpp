#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>

#include "harness/step/backends.hpp"

namespace lockstep::fabric {

/// Memory that says it is on a device, and counts how often the host asks for it.
class FakeDeviceMemory final : public step::Memory {
 public:
  [[nodiscard]] std::byte* allocate(std::uint64_t bytes) override {
    return static_cast<std::byte*>(std::aligned_alloc(64, (bytes + 63) / 64 * 64));
  }
  void free(std::byte* memory) noexcept override { std::free(memory); }
  void write(std::byte* to, std::span<const std::byte> from) override {
    ++writes;
    std::memcpy(to, from.data(), from.size());
  }
  void read(const std::byte* from, std::span<std::byte> to) override {
    ++reads;
    std::memcpy(to.data(), from, to.size());
  }
  void copy(std::byte* to, const std::byte* from, std::uint64_t bytes) override {
    std::memcpy(to, from, bytes);
  }
  void clear(std::byte* to, std::uint64_t bytes) override { std::memset(to, 0, bytes); }
  [[nodiscard]] bool on_host() const override { return false; }

  int reads = 0;
  int writes = 0;
};

}  // namespace lockstep::fabric
