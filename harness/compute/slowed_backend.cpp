#include "harness/compute/slowed_backend.hpp"

#include <algorithm>
#include <utility>

#include "harness/core/clock.hpp"

namespace lockstep::compute {

SlowedBackend::SlowedBackend(step::ComputeBackend& inner, std::function<std::int64_t()> now,
                             std::function<void(std::int64_t)> sleep_until)
    : inner_(inner),
      now_(now ? std::move(now) : std::function<std::int64_t()>(&monotonic_ns)),
      sleep_until_(sleep_until ? std::move(sleep_until)
                               : std::function<void(std::int64_t)>(&sleep_until_ns)) {}

void SlowedBackend::run(const step::Op& op, step::BufferSet& buffers, std::int64_t ready_ns) {
  const double factor = factor_.load(std::memory_order_relaxed);
  if (factor <= 1.0) {
    inner_.run(op, buffers, ready_ns);
    free_ns_ = now_();
    return;
  }
  // A paced backend counts from here, and must not make up for what was slept before.
  const std::int64_t begin_ns = std::max(ready_ns, free_ns_);
  inner_.run(op, buffers, begin_ns);
  const std::int64_t end_ns = now_();
  const auto extra_ns = static_cast<std::int64_t>((factor - 1.0) * static_cast<double>(end_ns - begin_ns));
  free_ns_ = end_ns + std::max<std::int64_t>(0, extra_ns);
  sleep_until_(free_ns_);
}

}  // namespace lockstep::compute
