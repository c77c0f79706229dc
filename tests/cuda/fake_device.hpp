#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>

#include "harness/core/clock.hpp"

/// A GPU that is none: the classes of harness/cuda over host memory, so that everything above them runs, with
/// real numbers, on a machine without a card. Link it in the place of lockstep::cuda.
namespace lockstep::cuda::testing {

struct FakeDevice {
  std::uint64_t memory_bytes = std::uint64_t{4} << 30;
  std::uint64_t l2_bytes = 4096;
  std::uint64_t used_bytes = 0;
  std::uint64_t most_bytes = 0;
  std::map<std::byte*, std::uint64_t> sizes;
  int captures = 0;
  int launches = 0;
  int pending_looks = 0;  ///< so many looks at events find them not done
  int calls = 0;
  int fails_after_calls = 0;  ///< from then on every call fails, as after a fault of the card; 0: never
  double drift = 0.0;         ///< of its clock
  [[nodiscard]] std::int64_t device_ns() const {
    return static_cast<std::int64_t>(static_cast<double>(monotonic_ns()) * (1.0 + drift));
  }
};
[[nodiscard]] FakeDevice& fake_device();

/// Does the work now, or notes it for the graph that is being captured on that stream.
void enqueue_on_fake(void* stream, std::function<void()> work);

}  // namespace lockstep::cuda::testing
