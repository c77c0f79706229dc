#pragma once

#include <cstddef>
#include <cstdint>

#include "harness/core/hash.hpp"

namespace lockstep::stats {

/// A small deterministic generator: the same numbers on every machine and with every standard library, so
/// that an interval can be recomputed to the last digit. It mixes a counter (splitmix64; Steele, Lea and
/// Flood, OOPSLA 2014). Not for secrets.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(mix64(seed)) {}

  [[nodiscard]] std::uint64_t next() noexcept {
    const std::uint64_t value = mix64(state_);
    state_ += 0x9e3779b97f4a7c15ULL;
    return value;
  }

  /// Uniform in [0, 1), 53 bits.
  [[nodiscard]] double uniform() noexcept { return static_cast<double>(next() >> 11) * 0x1.0p-53; }

  /// Uniform in 0..count-1 for count < 2^32 (bias below count / 2^32); `count` must not be 0.
  [[nodiscard]] std::size_t index(std::size_t count) noexcept {
    return static_cast<std::size_t>(((next() >> 32) * static_cast<std::uint64_t>(count)) >> 32);
  }

 private:
  std::uint64_t state_;
};

}  // namespace lockstep::stats
