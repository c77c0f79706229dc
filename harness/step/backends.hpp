#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "harness/step/graph.hpp"

namespace lockstep::step {

/// Memory that buffers lie in, and the host's way to it. Every call blocks until its work is done.
class Memory {
 public:
  virtual ~Memory() = default;
  /// At least 64-byte aligned; nullptr when there is none left.
  [[nodiscard]] virtual std::byte* allocate(std::uint64_t bytes) = 0;
  virtual void free(std::byte* memory) noexcept = 0;
  virtual void write(std::byte* to, std::span<const std::byte> from) = 0;
  virtual void read(const std::byte* from, std::span<std::byte> to) = 0;
  /// Within this memory; the stretches do not overlap.
  virtual void copy(std::byte* to, const std::byte* from, std::uint64_t bytes) = 0;
  virtual void clear(std::byte* to, std::uint64_t bytes) = 0;
  /// Whether the host may follow the pointers.
  [[nodiscard]] virtual bool on_host() const = 0;
};

/// Of the process itself.
[[nodiscard]] Memory& host_memory();

/// Memory of a graph's buffers. A buffer that was not wanted has an empty span.
///
/// Sharp edge: bytes(), floats() and at() are addresses in memory(). Only where that is on the host may the
/// host follow them; read() and write() work everywhere.
class BufferSet {
 public:
  /// Which of the graph's buffers exist.
  enum class Need { all, communicated };
  /// Allocates, first-touches and fills every needed buffer with reproducible pseudo-random values in [-1, 1)
  /// that differ from rank to rank (a network that compresses must not flatter). Throws RunError when memory
  /// is short.
  /// Memory that is not on the host is filled with a random stretch of up to 16 MiB, over and over: making as
  /// many random numbers as a GPU holds would take a host minutes. `memory` must outlive the set.
  BufferSet(const StepGraph& graph, Need need, RankId rank, Memory& memory = host_memory());
  [[nodiscard]] Memory& memory() { return *memory_; }
  void write(std::byte* to, std::span<const std::byte> from) { memory_->write(to, from); }
  void read(const std::byte* from, std::span<std::byte> to) { memory_->read(from, to); }
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
    Memory* memory = nullptr;
    void operator()(std::byte* bytes) const noexcept { memory->free(bytes); }
  };
  void fill(const Buffer& buffer, std::span<std::byte> bytes, std::uint64_t seed);

  Memory* memory_;
  std::vector<std::unique_ptr<std::byte, Free>> storage_;
  std::vector<std::span<std::byte>> spans_;
};

/// When an op ran, in ns on the axis of CLOCK_MONOTONIC.
struct OpTimes {
  std::int64_t begin_ns = 0;
  std::int64_t end_ns = 0;
};

/// Takes ops ahead of time and runs them one after the other without the host in between. Every call comes
/// from the thread that computes. A call throws when the device failed; nothing works after that.
class ComputeQueue {
 public:
  virtual ~ComputeQueue() = default;
  /// Every op of the step before is done.
  virtual void begin_step() = 0;
  /// Never waits for the ops. `ops` is a stretch of the graph's compute stream, the same ones in every step.
  virtual void submit(std::span<const OpId> ops, BufferSet& buffers) = 0;
  /// How many of the ops submitted since begin_step() are done. They end in order. Never waits.
  [[nodiscard]] virtual std::size_t completed() = 0;
  /// Of all ops since begin_step(), which are done, in order of submission.
  [[nodiscard]] virtual std::span<const OpTimes> times() = 0;
};

/// A product whose checksum does not hold.
struct WrongProduct {
  OpId op;
  std::uint64_t wrong_columns = 0;
  std::uint64_t column = 0;  ///< the one furthest off
  double expected = 0.0;     ///< its sum
  double observed = 0.0;
  double tolerance = 0.0;
};

/// Runs the ops of the compute stream, one at a time, on the thread that calls.
class ComputeBackend {
 public:
  virtual ~ComputeBackend() = default;
  /// Does the op's work and returns when it is done. `ready_ns` is the instant (FastClock axis) from which
  /// the op could have run: the end of the last thing it waited for. A paced backend counts from there, so
  /// that the lateness of a wake-up does not add up over a step.
  virtual void run(const Op& op, BufferSet& buffers, std::int64_t ready_ns) = 0;
  /// Where the ops may be given ahead of time; nullptr where run() is the only way.
  [[nodiscard]] virtual ComputeQueue* queue() { return nullptr; }
  /// Once, before the first op: whatever takes its time and needs the buffers. May write outputs.
  virtual void prepare(BufferSet& /*buffers*/) {}
  /// After a step: checks products whose operands and results are still as the step left them, as far as the
  /// backend can.
  [[nodiscard]] virtual std::vector<WrongProduct> check_products(std::uint32_t /*step*/,
                                                                 BufferSet& /*buffers*/) {
    return {};
  }
  /// Where its buffers have to be.
  [[nodiscard]] virtual Memory& memory() { return host_memory(); }
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
