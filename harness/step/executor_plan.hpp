#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "harness/step/executor.hpp"

/// Of the executor's own files.
namespace lockstep::step {

inline constexpr std::int64_t kComputeSpinNs = 10'000;

inline void relax_cpu() noexcept {
#if defined(__x86_64__)
  _mm_pause();
#endif
}

/// A store that another process, which maps the same memory, sees after everything stored before it.
inline void publish(std::int64_t& field, std::int64_t value) noexcept {
  std::atomic_ref<std::int64_t>(field).store(value, std::memory_order_release);
}

/// The graph, sorted by stream and with dependencies resolved to what each thread has to wait for.
struct Executor::Plan {
  struct ComputeOp {
    OpId op;
    std::vector<std::size_t> awaited;  // comm indices
    bool releases_comm = false;        // a communication waits for it
  };
  /// Compute ops that follow each other without waiting for a communication in between.
  struct Segment {
    std::size_t first = 0;  // in `compute`
    std::vector<OpId> ops;
    std::vector<std::size_t> awaited;  // comm indices, before its first op
  };
  struct CommOp {
    OpId op;
    const Comm* comm = nullptr;
    std::vector<OpId> after;
    bool trailing = true;  // no compute op waits for it: it may outlast the compute stream
  };
  std::vector<ComputeOp> compute;
  std::vector<CommOp> comm;
  std::vector<Segment> segments;

  explicit Plan(const StepGraph& graph) {
    std::vector<std::size_t> comm_index(graph.ops.size(), 0);
    std::vector<bool> releases(graph.ops.size(), false);
    for (std::uint32_t i = 0; i < graph.ops.size(); ++i) {
      const Op& op = graph.ops[i];
      if (const auto* work = std::get_if<Comm>(&op.work)) {
        comm_index[i] = comm.size();
        comm.push_back({OpId{i}, work, op.after, true});
        for (const OpId dependency : op.after)
          releases[dependency.value()] = true;
        continue;
      }
      ComputeOp entry{OpId{i}, {}, false};
      for (const OpId dependency : op.after) {
        if (graph.op(dependency).stream() != Stream::communication)
          continue;  // the order of the stream sees to it
        entry.awaited.push_back(comm_index[dependency.value()]);
        comm[comm_index[dependency.value()]].trailing = false;
      }
      compute.push_back(std::move(entry));
    }
    for (ComputeOp& entry : compute)
      entry.releases_comm = releases[entry.op.value()];
    for (std::size_t i = 0; i < compute.size(); ++i) {
      if (segments.empty() || !compute[i].awaited.empty())
        segments.push_back({i, {}, compute[i].awaited});
      segments.back().ops.push_back(compute[i].op);
    }
  }
};

/// The compute thread's wait. Even where threads spin it sleeps after a while: its core may be the one that
/// another rank's communication needs, and it has nothing to look at until then.
template <class Condition>
void Executor::await(const std::atomic<std::uint32_t>& events, Condition condition) const {
  const std::int64_t spin_until_ns = options_.wait == WaitMode::spin ? clock_.now_ns() + kComputeSpinNs : 0;
  while (!condition()) {
    const std::uint32_t seen = events.load(std::memory_order_acquire);
    if (condition())
      return;
    if (spin_until_ns != 0 && clock_.now_ns() < spin_until_ns)
      relax_cpu();
    else
      events.wait(seen, std::memory_order_acquire);
  }
}

}  // namespace lockstep::step
