#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "harness/compute/slowed_backend.hpp"
#include "harness/core/ids.hpp"
#include "harness/fabric/flipping_validator.hpp"
#include "harness/plan/plan.hpp"
#include "harness/record/journal.hpp"
#include "harness/watch/supervisor.hpp"

namespace lockstep::app {

/// A rank, as drills name it.
struct DrillTarget {
  std::uint32_t leg = 0;  ///< index of the launch
  std::uint32_t rank = 0;
  std::string host;
  std::uint32_t local_rank = 0;
};

/// The drills of this launch that act in ranks; those that need a controller are left to it.
///
/// Each is noted in the journal before it acts. Where none acts on this rank, the steps run as if there were
/// no drills: nothing is wrapped, and there is no thread.
class RankDrills {
 public:
  /// `chosen`: indices into the plan's drills that are to be made in this launch, whose first step is
  /// training step `first_step`. `journal` and `supervised` outlive it. Throws InputError for an index that
  /// is none.
  RankDrills(const plan::Plan& plan, const std::vector<std::uint32_t>& chosen, const DrillTarget& self,
             std::uint32_t first_step, record::Journal& journal, watch::Supervised& supervised);
  ~RankDrills();
  RankDrills(const RankDrills&) = delete;
  RankDrills& operator=(const RankDrills&) = delete;

  /// `inner`, or it with what drills need around it. Each outlives this object's use.
  [[nodiscard]] step::ComputeBackend& around(step::ComputeBackend& inner);
  [[nodiscard]] step::Validator& around(const step::StepGraph& graph, fabric::PatternValidator& inner);
  /// For ExecutorOptions::hold; null when no drill hangs this rank.
  [[nodiscard]] const std::atomic<bool>* hold() const;
  /// Whether writes of a checkpoint are to fail as on a full disk.
  [[nodiscard]] bool disk_is_full() const { return disk_full_.load(std::memory_order_relaxed); }
  /// Step flags (step::StepFlag) that drills ask of every rank in this step of the launch.
  [[nodiscard]] std::uint32_t flags(std::uint32_t step) const;
  /// Makes what is due. On the thread that runs steps, before each. May not return.
  void begin_step(std::uint32_t step);

 private:
  struct Own {
    const plan::Drill* drill = nullptr;
    std::uint32_t index = 0;  ///< in the plan
    std::uint32_t step = 0;   ///< of the launch
  };
  struct Due {
    std::int64_t at_ns = 0;
    std::function<void()> act;
  };

  void act(const Own& own, std::uint32_t step);
  void end_process(plan::DrillKind kind);
  void stop(const Own& own, std::uint32_t step);
  std::optional<std::uint32_t> note(const Own& own, std::uint32_t step, const std::string& how);
  /// Lets a drill be taken back when its time is over.
  void until(const Own& own, std::optional<std::uint32_t> place, std::function<void()> take_back);
  void later(double seconds, std::function<void()> act);
  void keep_time();

  DrillTarget self_;
  record::Journal& journal_;
  watch::Supervised& supervised_;
  std::vector<Own> own_;
  std::vector<std::uint32_t> checked_steps_;
  std::unique_ptr<compute::SlowedBackend> slowed_;
  std::unique_ptr<fabric::FlippingValidator> flipping_;
  const Own* flip_ = nullptr;
  std::atomic<bool> hold_{false};
  std::atomic<bool> disk_full_{false};

  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<Due> due_;
  bool over_ = false;
  std::thread timer_;  // only where a drill has a time
};

}  // namespace lockstep::app
