#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "harness/step/graph.hpp"

namespace lockstep::step {

/// Memory of a graph's buffers. A buffer that was not wanted has an empty span.
class BufferSet {
 public:
  /// Which of the graph's buffers exist.
  enum class Need { all, communicated };
  /// Allocates, first-touches and fills every needed buffer with reproducible pseudo-random values in [-1, 1)
  /// that differ from rank to rank (a network that compresses must not flatter). Throws RunError when memory
  /// is short.
  BufferSet(const StepGraph& graph, Need need, RankId rank);
  [[nodiscard]] std::span<std::byte> bytes(BufferId id) { return spans_[id.value()]; }
  /// Elements from `ref` to the end of its buffer. Only f32 buffers hold floats.
  [[nodiscard]] float* floats(BufferRef ref) {
    return reinterpret_cast<float*>(spans_[ref.buffer.value()].data()) + ref.offset;
  }
  [[nodiscard]] std::byte* at(const StepGraph& graph, BufferRef ref) {
    return spans_[ref.buffer.value()].data() + ref.offset * bytes_of(graph.buffer(ref.buffer).dtype);
  }

 private:
  struct Free {
    void operator()(std::byte* memory) const noexcept;
  };
  std::vector<std::unique_ptr<std::byte, Free>> storage_;
  std::vector<std::span<std::byte>> spans_;
};

/// Runs the ops of the compute stream, one at a time, on the thread that calls.
class ComputeBackend {
 public:
  virtual ~ComputeBackend() = default;
  /// Does the op's work and returns when it is done. `ready_ns` is the instant (FastClock axis) from which
  /// the op could have run: the end of the last thing it waited for. A paced backend counts from there, so
  /// that the lateness of a wake-up does not add up over a step.
  virtual void run(const Op& op, BufferSet& buffers, std::int64_t ready_ns) = 0;
  [[nodiscard]] virtual std::string name() const = 0;
  /// Threads of this rank that are busy while it computes: 0 for a timed wait.
  [[nodiscard]] virtual int busy_threads() const = 0;
  /// Whether GEMM operands must exist.
  [[nodiscard]] virtual BufferSet::Need buffers_needed() const = 0;
};

/// What became of a communication in flight.
enum class CommState { pending, done, failed };

/// Starts communications and tells when they are done. Every call comes from one thread, the one that owns
/// the transport. Operations complete in any order; on one group they must be started in the same order by
/// every rank.
class FabricBackend {
 public:
  using Ticket = std::uint32_t;
  virtual ~FabricBackend() = default;
  /// Enters the operation; never waits. The buffers stay alive and untouched until it is done.
  virtual Ticket start(const Comm& comm, const StepGraph& graph, BufferSet& buffers) = 0;
  /// Makes progress. A ticket that was reported done or failed may be handed out again.
  virtual CommState test(Ticket ticket) = 0;
  /// What went wrong in a failed operation, as the transport says it.
  [[nodiscard]] virtual std::string error_text(Ticket ticket) const = 0;
  [[nodiscard]] virtual std::string name() const = 0;
  /// After a failure, before the process ends: lets go of what is in flight as far as the transport can,
  /// without the other ranks. Waits a few seconds at most. Nothing may be asked of the fabric afterwards.
  virtual void abandon() noexcept {}
};

}  // namespace lockstep::step
