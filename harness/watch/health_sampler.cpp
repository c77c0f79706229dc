#include "harness/watch/health_sampler.hpp"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>

#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "harness/core/clock.hpp"
#include "harness/core/log.hpp"
#include "harness/core/units.hpp"
#include "harness/watch/health_ledger.hpp"

namespace lockstep::watch {
namespace {

/// Of the thread's time: the rest it sleeps.
constexpr std::int64_t kMostTimesLonger = 100;
constexpr int kLeastPriority = 19;
constexpr unsigned long kTimerSlackNs = 10'000'000;

std::chrono::steady_clock::time_point time_point(std::int64_t monotonic) {
  return std::chrono::steady_clock::time_point(std::chrono::nanoseconds(monotonic));
}

}  // namespace

/// Outlives the sampler when the thread does.
struct HealthSampler::Shared {
  std::vector<std::unique_ptr<HealthSource>> sources;
  std::vector<HealthLedger> ledgers;
  Options options;

  std::mutex mutex;
  std::condition_variable changed;
  std::function<void(const record::HealthRow&)> add;  ///< empty: nobody wants rows any more
  bool stopping = false;
  bool done = false;

  void give_out(std::size_t device, std::vector<record::HealthRow> rows) {
    const std::lock_guard lock(mutex);
    for (record::HealthRow& row : rows) {
      row.device = static_cast<std::uint32_t>(device);
      if (add)
        add(row);
    }
  }

  void look_at_all() {
    for (std::size_t device = 0; device < sources.size(); ++device) {
      const std::int64_t begin_ns = monotonic_ns();
      const HealthReading reading = sources[device]->read(begin_ns);
      const std::int64_t end_ns = monotonic_ns();
      give_out(device, ledgers[device].add(reading, end_ns, end_ns - begin_ns));
    }
  }

  void run() {
    static_cast<void>(::prctl(PR_SET_TIMERSLACK, kTimerSlackNs));
    static_cast<void>(::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), kLeastPriority));
    const std::int64_t period_ns = ns_from_seconds(1.0 / options.per_second);
    for (bool last = false;;) {
      const std::int64_t begin_ns = monotonic_ns();
      look_at_all();
      if (last)
        break;
      const std::int64_t cost_ns = monotonic_ns() - begin_ns;
      const std::int64_t due_ns = begin_ns + std::max(period_ns, kMostTimesLonger * cost_ns);
      std::unique_lock lock(mutex);
      changed.wait_until(lock, time_point(due_ns), [this] { return stopping; });
      last = stopping;
    }
    for (std::size_t device = 0; device < sources.size(); ++device) {
      if (const auto row = ledgers[device].close())
        give_out(device, {*row});
    }
    const std::lock_guard lock(mutex);
    done = true;
    changed.notify_all();
  }
};

HealthSampler::HealthSampler(std::vector<std::unique_ptr<HealthSource>> sources, const Options& options,
                             std::function<void(const record::HealthRow&)> add)
    : shared_(std::make_shared<Shared>()) {
  shared_->ledgers.resize(sources.size());
  shared_->sources = std::move(sources);
  shared_->options = options;
  shared_->add = std::move(add);
  thread_ = std::thread([shared = shared_] { shared->run(); });
}

HealthSampler::~HealthSampler() {
  bool done = false;
  {
    std::unique_lock lock(shared_->mutex);
    shared_->stopping = true;
    shared_->changed.notify_all();
    done = shared_->changed.wait_for(lock, std::chrono::duration<double>(shared_->options.patience_s),
                                     [this] { return shared_->done; });
    shared_->add = nullptr;
  }
  if (done) {
    thread_.join();
    return;
  }
  thread_.detach();
  log_warning("a device did not answer any more when its health was read: its last rows are missing");
}

}  // namespace lockstep::watch
