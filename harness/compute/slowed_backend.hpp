#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "harness/step/backends.hpp"

namespace lockstep::compute {

/// Another backend, whose ops take `factor` times as long: a fault on purpose. The extra time is slept, so
/// that a slow rank does not take cores from others. It has no queue: one op at a time can be slowed.
class SlowedBackend final : public step::ComputeBackend {
 public:
  /// `inner` must outlive it. The clock (ns, axis of CLOCK_MONOTONIC) and the sleep are replaced in tests.
  explicit SlowedBackend(step::ComputeBackend& inner, std::function<std::int64_t()> now = {},
                         std::function<void(std::int64_t)> sleep_until = {});
  /// From the next op on; 1: as fast as it is. Any thread.
  void set_factor(double factor) noexcept { factor_.store(factor, std::memory_order_relaxed); }

  void run(const step::Op& op, step::BufferSet& buffers, std::int64_t ready_ns) override;
  void prepare(step::BufferSet& buffers) override { inner_.prepare(buffers); }
  [[nodiscard]] std::vector<step::WrongProduct> check_products(std::uint32_t step,
                                                               step::BufferSet& buffers) override {
    return inner_.check_products(step, buffers);
  }
  [[nodiscard]] step::Memory& memory() override { return inner_.memory(); }
  [[nodiscard]] std::string name() const override { return inner_.name(); }
  [[nodiscard]] int busy_threads() const override { return inner_.busy_threads(); }
  [[nodiscard]] step::BufferSet::Need buffers_needed() const override { return inner_.buffers_needed(); }

 private:
  step::ComputeBackend& inner_;
  std::function<std::int64_t()> now_;
  std::function<void(std::int64_t)> sleep_until_;
  std::atomic<double> factor_{1.0};
  std::int64_t free_ns_ = 0;  ///< end of the last op
};

}  // namespace lockstep::compute
