#include <algorithm>

#include "harness/core/error.hpp"
#include "harness/step/executor_plan.hpp"

/// The executor's compute thread, where the backend takes ops ahead of time.
namespace lockstep::step {

/// Submits the segments whose communications are done, in order. False when there is none.
bool Executor::submit_ready(std::uint32_t step, std::size_t& segment) {
  bool moved = false;
  for (; segment < plan_->segments.size(); ++segment, moved = true) {
    const Plan::Segment& next = plan_->segments[segment];
    const bool is_ready = std::all_of(next.awaited.begin(), next.awaited.end(), [this](std::size_t index) {
      return done_epoch_[plan_->comm[index].op.value()].load(std::memory_order_acquire) == epoch_;
    });
    if (!is_ready)
      break;
    compute_op_ = next.ops.front();
    if (!recording_.ops.empty()) {
      const std::int64_t now_ns = clock_.now_ns();
      for (const OpId op : next.ops)
        record_begin(step, op, now_ns);
    }
    queue_->submit(next.ops, buffers_);
  }
  return moved;
}

/// Compute ops first..last-1 were seen to be done.
void Executor::note_completed(std::uint32_t step, std::size_t first, std::size_t last) {
  const std::int64_t now_ns = recording_.ops.empty() ? 0 : clock_.now_ns();
  bool releases = false;
  for (std::size_t i = first; i < last; ++i) {
    const Plan::ComputeOp& entry = plan_->compute[i];
    if (!recording_.ops.empty())
      record_end(step, entry.op, now_ns);
    done_epoch_[entry.op.value()].store(epoch_, std::memory_order_release);
    releases = releases || entry.releases_comm;
  }
  if (!releases)
    return;
  compute_events_.fetch_add(1, std::memory_order_release);
  compute_events_.notify_all();
}

/// What the queue measured, in the place of what the host saw. Its clock may be off by a little: everything
/// stays within the step. The time that the device stood still before a segment is charged to what it waited
/// for.
void Executor::take_queue_times(std::uint32_t step) {
  const std::span<const OpTimes> times = queue_->times();
  LOCKSTEP_EXPECT(times.size() == plan_->compute.size(), "a queue measures every op");
  const std::int64_t now_ns = clock_.now_ns();
  const auto inside = [&](std::int64_t ns) { return std::clamp(ns, step_begin_ns_, now_ns); };
  std::int64_t busy_ns = 0;
  std::int64_t free_ns = step_begin_ns_;
  for (const Plan::Segment& segment : plan_->segments) {
    for (const std::size_t index : segment.awaited) {
      const std::int64_t done_ns = done_ns_[plan_->comm[index].op.value()];
      exposed_ns_[index] += std::max<std::int64_t>(0, done_ns - free_ns);
      free_ns = std::max(free_ns, done_ns);
    }
    for (std::size_t i = segment.first; i < segment.first + segment.ops.size(); ++i) {
      const std::int64_t begin_ns = inside(times[i].begin_ns);
      const std::int64_t end_ns = std::max(begin_ns, inside(times[i].end_ns));
      busy_ns += end_ns - begin_ns;
      free_ns = std::max(free_ns, end_ns);
      if (recording_.ops.empty())
        continue;
      OpStamp& stamp = recording_.op(step, plan_->compute[i].op.value());
      publish(stamp.begin_ns, begin_ns);
      publish(stamp.end_ns, end_ns);
    }
  }
  compute_busy_ns_ = busy_ns;
  compute_end_ns_ = free_ns;
}

void Executor::run_queued_ops(std::uint32_t step) {
  queue_->begin_step();
  std::size_t segment = 0;
  std::size_t done = 0;
  std::int64_t moved_ns = clock_.now_ns();
  while (done < plan_->compute.size()) {
    bool moved = submit_ready(step, segment);
    const std::size_t completed = queue_->completed();
    if (completed > done) {
      note_completed(step, done, completed);
      done = completed;
      compute_op_ = plan_->compute[std::min(done, plan_->compute.size() - 1)].op;
      moved = true;
    }
    if (stop_.load(std::memory_order_acquire))
      return;  // what was submitted may still be under way
    if (moved) {
      moved_ns = clock_.now_ns();
      continue;
    }
    const bool idle = segment < plan_->segments.size() && plan_->segments[segment].first == done;
    if (!idle) {
      pause(clock_.now_ns() - moved_ns);
      continue;
    }
    for (const std::size_t index : plan_->segments[segment].awaited) {
      const auto& arrived = done_epoch_[plan_->comm[index].op.value()];
      await(comm_events_, [&] {
        return stop_.load(std::memory_order_acquire) || arrived.load(std::memory_order_acquire) == epoch_;
      });
    }
  }
  take_queue_times(step);
}

}  // namespace lockstep::step
