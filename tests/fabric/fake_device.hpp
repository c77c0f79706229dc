#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <span>
#include <vector>

#include "harness/step/backends.hpp"

namespace lockstep::fabric {

/// Memory that says it is on a device, and counts how often the host asks for it.
class FakeDeviceMemory final : public step::Memory {
 public:
  [[nodiscard]] std::byte* allocate(std::uint64_t bytes) override {
    auto* memory = static_cast<std::byte*>(std::aligned_alloc(64, (bytes + 63) / 64 * 64));
    return pieces_.emplace_back(memory).get();
  }
  void free(std::byte* memory) noexcept override {
    std::erase_if(pieces_, [memory](const auto& piece) { return piece.get() == memory; });
  }
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

 private:
  struct Free {
    void operator()(std::byte* memory) const noexcept { std::free(memory); }
  };
  // Owned, as a device's is by its process: a fabric leaves some behind where an abort did not return.
  std::vector<std::unique_ptr<std::byte, Free>> pieces_;
};

}  // namespace lockstep::fabric
