#pragma once

#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "harness/record/evidence.hpp"
#include "harness/watch/health_source.hpp"

namespace lockstep::watch {

/// Looks at devices now and then, on a thread of its own with the least priority, off the path of the steps.
/// It spends at most a hundredth of its time with looking: when looks take long, they become rarer.
///
/// Sharp edge: a driver may never answer. Then the thread is left behind when the sampler ends; it keeps the
/// sources, and adds no row any more.
class HealthSampler {
 public:
  struct Options {
    double per_second = 1.0;  ///< looks at every device
    double patience_s = 2.0;  ///< for a look that is under way when it ends
  };
  /// `add` is called on the thread, with device set to the index of the source; leg and rank are left to it.
  HealthSampler(std::vector<std::unique_ptr<HealthSource>> sources, const Options& options,
                std::function<void(const record::HealthRow&)> add);
  /// Looks once more and adds what is left over, as long as patience lasts. After it `add` is never called.
  ~HealthSampler();
  HealthSampler(const HealthSampler&) = delete;
  HealthSampler& operator=(const HealthSampler&) = delete;

 private:
  struct Shared;
  std::shared_ptr<Shared> shared_;
  std::thread thread_;
};

}  // namespace lockstep::watch
