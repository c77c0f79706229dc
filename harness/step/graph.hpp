#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "harness/core/ids.hpp"

/// A workload describes one step as a graph; the executor runs it, the simulator prices it, attribution
/// explains it.
namespace lockstep::step {

/// e4m3 and e5m2 are the two 8-bit floats (Micikevicius et al., "FP8 Formats for Deep Learning", 2022).
enum class Dtype { f32, f64, bf16, f16, e4m3, e5m2 };
[[nodiscard]] std::uint32_t bytes_of(Dtype dtype);
[[nodiscard]] const char* to_string(Dtype dtype);
[[nodiscard]] bool is_fp8(Dtype dtype);

/// Ops of one stream run one after the other in the graph's order; streams run side by side.
enum class Stream { compute, communication };
[[nodiscard]] const char* to_string(Stream stream);

/// The part of a training step that an op belongs to.
enum class Phase { forward, backward, optimizer };
[[nodiscard]] const char* to_string(Phase phase);

enum class BufferRole { weights, gradients, reduced, optimizer_state, activations };
[[nodiscard]] const char* to_string(BufferRole role);

/// Memory that ops refer to. Which buffers are really allocated is the executor's choice (a paced run needs
/// only those that are sent).
struct Buffer {
  std::string name;
  BufferRole role = BufferRole::activations;
  Dtype dtype = Dtype::f32;
  std::uint64_t elements = 0;
  [[nodiscard]] std::uint64_t bytes() const { return elements * bytes_of(dtype); }
};

struct BufferRef {
  BufferId buffer;
  std::uint64_t offset = 0;  ///< in elements
};

/// C(m x n) = A(m x k) * B(k x n), row-major, `batch` times over consecutive matrices. The elements of A and
/// B have the same dtype, except that the two fp8 formats may be mixed; C's are those of its buffer. Sums are
/// made in fp32 or better.
struct Gemm {
  std::uint64_t m = 0;
  std::uint64_t n = 0;
  std::uint64_t k = 0;
  std::uint64_t batch = 1;
  Dtype dtype = Dtype::f32;  ///< of A and, but for fp8, of B
  enum class Math {
    full,
    tf32,  ///< f32 operands, multiplied with 10 bits of fraction
  } math = Math::full;
  enum class Layout { nn, nt, tn } layout = Layout::nn;  ///< which of A, B is stored transposed
  bool accumulate = false;                               ///< C += A*B instead of C = A*B
  BufferRef a;
  BufferRef b;
  BufferRef c;
  /// The precision of the products: the dtype's name, or tf32.
  [[nodiscard]] const char* precision() const { return math == Math::tf32 ? "tf32" : to_string(dtype); }
  /// 2mnk per matrix product.
  [[nodiscard]] double flops() const {
    return 2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k) *
           static_cast<double>(batch);
  }
};

/// One pass of an Adam-like optimizer: reads gradient, parameter and two moments, writes parameter and
/// moments. With a copy, it also writes the new parameters in the dtype of the copy's buffer (mixed
/// precision: the products read the copy, the optimizer keeps full precision).
struct Update {
  std::uint64_t elements = 0;
  Dtype dtype = Dtype::f32;
  std::vector<BufferId> gradients;  ///< in order, together `elements` long
  BufferRef parameters;             ///< `elements` from here on; so of the moments
  BufferRef first_moment;
  BufferRef second_moment;
  std::optional<BufferRef> copy{};
  std::uint32_t copy_bytes = 0;  ///< of one element of the copy; 0 without
  /// Memory traffic: 4 reads and 3 writes of every element, and the copy's write.
  [[nodiscard]] double bytes() const {
    return static_cast<double>(elements) * (7.0 * bytes_of(dtype) + copy_bytes);
  }
};

enum class CommKind { all_reduce, reduce_scatter, all_gather, broadcast, all_to_all, send_recv, barrier };
[[nodiscard]] const char* to_string(CommKind kind);

/// One communication of a named group. `elements` is the total S of nccl-tests' conventions: the whole vector
/// for all-reduce and broadcast; all ranks' parts together for reduce-scatter (input), all-gather (output)
/// and all-to-all (one rank's input); one rank's message for send_recv (to the next rank of the group, from
/// the previous one). Reductions are sums. `from` and `to` never overlap: the source stays as it was, so that
/// repeated steps neither grow nor vanish.
struct Comm {
  CommKind kind = CommKind::barrier;
  GroupId group;
  Dtype dtype = Dtype::f32;
  std::uint64_t elements = 0;
  BufferRef from;
  BufferRef to;
  bool validated = false;  ///< carries the known pattern and is checked in the sampled steps
  [[nodiscard]] std::uint64_t bytes() const { return elements * bytes_of(dtype); }
};

struct Op {
  std::string name;  ///< unique in the graph, e.g. `mb1.layer3.down.wgrad`, `bucket2.all_reduce`
  Phase phase = Phase::forward;
  std::variant<Gemm, Update, Comm> work;
  std::vector<OpId> after;  ///< must be complete before this op begins; the order within a stream is implied

  [[nodiscard]] Stream stream() const {
    return std::holds_alternative<Comm>(work) ? Stream::communication : Stream::compute;
  }
  [[nodiscard]] double flops() const;
  [[nodiscard]] std::uint64_t bytes()
      const;  ///< sent bytes S of a communication, memory traffic of an update, else 0
  [[nodiscard]] const char* kind() const;  ///< gemm, update, all_reduce, ...
};

/// A named partition of the leg's ranks; each rank communicates within its own part.
struct Group {
  std::string name;  ///< world, data_parallel, tensor_parallel
  std::vector<std::vector<RankId>> parts;
  bool spans_sites = false;  ///< some part has ranks of two sites
};

/// Where the ranks of a leg are; ranks are contiguous by site.
struct RankLayout {
  std::vector<std::uint32_t> ranks_per_site;  ///< in the order of the leg's sites
  [[nodiscard]] std::uint32_t ranks() const;
  /// Position of the rank's site among the leg's sites.
  [[nodiscard]] std::uint32_t site_of(RankId rank) const;
};

/// One step of a workload, the same on every rank. Invariant: every dependency points to an earlier op.
struct StepGraph {
  std::string workload;
  double tokens_per_rank = 0.0;  ///< trained per step, over all ranks, divided by the ranks
  std::vector<Buffer> buffers;
  std::vector<Group> groups;
  std::vector<Op> ops;

  [[nodiscard]] const Op& op(OpId id) const { return ops[id.value()]; }
  [[nodiscard]] const Group& group(GroupId id) const { return groups[id.value()]; }
  [[nodiscard]] const Buffer& buffer(BufferId id) const { return buffers[id.value()]; }
  [[nodiscard]] double flops() const;
  [[nodiscard]] std::uint64_t memory_bytes() const;
  /// Ops on the communication stream, in order: comm index -> op.
  [[nodiscard]] std::vector<OpId> comm_ops() const;

  /// Aborts when a dependency, buffer or group does not exist, points forward, or a reference leaves its
  /// buffer.
  void check() const;
};

/// Ranks of `group` that `rank` communicates with (itself included).
[[nodiscard]] const std::vector<RankId>& part_of(const Group& group, RankId rank);

}  // namespace lockstep::step
