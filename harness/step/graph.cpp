#include "harness/step/graph.hpp"

#include <algorithm>
#include <numeric>

#include "harness/core/error.hpp"

namespace lockstep::step {
namespace {

template <class... Handlers>
struct Overloaded : Handlers... {
  using Handlers::operator()...;
};
template <class... Handlers>
Overloaded(Handlers...) -> Overloaded<Handlers...>;

class GraphCheck {
 public:
  explicit GraphCheck(const StepGraph& graph) : graph_(graph) {}

  void run() const {
    for (std::size_t i = 0; i < graph_.ops.size(); ++i) {
      const Op& op = graph_.ops[i];
      for (const OpId dependency : op.after)
        LOCKSTEP_EXPECT(dependency.value() < i, "op depends on itself or on a later one: " + op.name);
      std::visit([this](const auto& work) { check_work(work); }, op.work);
    }
  }

 private:
  void check_extent(BufferRef ref, std::uint64_t elements) const {
    LOCKSTEP_EXPECT(ref.buffer.value() < graph_.buffers.size(), "no such buffer");
    const Buffer& buffer = graph_.buffer(ref.buffer);
    LOCKSTEP_EXPECT(ref.offset + elements <= buffer.elements, "reference leaves buffer " + buffer.name);
  }
  void check_work(const Gemm& gemm) const {
    check_extent(gemm.a, gemm.m * gemm.k * gemm.batch);
    const Dtype a = graph_.buffer(gemm.a.buffer).dtype;
    const Dtype b = graph_.buffer(gemm.b.buffer).dtype;
    LOCKSTEP_EXPECT(a == gemm.dtype && (b == a || (is_fp8(a) && is_fp8(b))), "a product of unequal dtypes");
    LOCKSTEP_EXPECT(gemm.math == Gemm::Math::full || gemm.dtype == Dtype::f32,
                    "tf32 is a way to multiply f32");
    check_extent(gemm.b, gemm.k * gemm.n * gemm.batch);
    check_extent(gemm.c, gemm.m * gemm.n * gemm.batch);
  }
  void check_work(const Update& update) const {
    std::uint64_t gradients = 0;
    for (const BufferId id : update.gradients) {
      check_extent({id, 0}, 0);
      gradients += graph_.buffer(id).elements;
    }
    LOCKSTEP_EXPECT(gradients == update.elements, "gradients of an update differ from its length");
    check_extent(update.parameters, update.elements);
    check_extent(update.first_moment, update.elements);
    check_extent(update.second_moment, update.elements);
    if (update.copy) {
      check_extent(*update.copy, update.elements);
      LOCKSTEP_EXPECT(update.copy_bytes == bytes_of(graph_.buffer(update.copy->buffer).dtype),
                      "a copy of unequal size");
    }
  }
  void check_work(const Comm& comm) const {
    LOCKSTEP_EXPECT(comm.group.value() < graph_.groups.size(), "no such group");
    if (comm.kind == CommKind::barrier)
      return;
    const Group& group = graph_.group(comm.group);
    std::uint64_t ranks = 1;
    for (const auto& part : group.parts)
      ranks = std::max<std::uint64_t>(ranks, part.size());
    const bool shrinks = comm.kind == CommKind::reduce_scatter;
    const bool grows = comm.kind == CommKind::all_gather;
    check_extent(comm.from, grows ? comm.elements / ranks : comm.elements);
    check_extent(comm.to, shrinks ? comm.elements / ranks : comm.elements);
  }

  const StepGraph& graph_;
};

}  // namespace

std::uint32_t bytes_of(Dtype dtype) {
  switch (dtype) {
    case Dtype::f32:
      return 4;
    case Dtype::f64:
      return 8;
    case Dtype::bf16:
    case Dtype::f16:
      return 2;
    case Dtype::e4m3:
    case Dtype::e5m2:
      return 1;
  }
  return 0;
}

const char* to_string(Dtype dtype) {
  switch (dtype) {
    case Dtype::f32:
      return "f32";
    case Dtype::f64:
      return "f64";
    case Dtype::bf16:
      return "bf16";
    case Dtype::f16:
      return "f16";
    case Dtype::e4m3:
      return "e4m3";
    case Dtype::e5m2:
      return "e5m2";
  }
  return "?";
}

bool is_fp8(Dtype dtype) {
  return dtype == Dtype::e4m3 || dtype == Dtype::e5m2;
}

const char* to_string(Stream stream) {
  return stream == Stream::compute ? "compute" : "communication";
}

const char* to_string(Phase phase) {
  switch (phase) {
    case Phase::forward:
      return "forward";
    case Phase::backward:
      return "backward";
    case Phase::optimizer:
      return "optimizer";
  }
  return "?";
}

const char* to_string(BufferRole role) {
  switch (role) {
    case BufferRole::weights:
      return "weights";
    case BufferRole::gradients:
      return "gradients";
    case BufferRole::reduced:
      return "reduced gradients";
    case BufferRole::optimizer_state:
      return "optimizer state";
    case BufferRole::activations:
      return "activations";
  }
  return "?";
}

const char* to_string(CommKind kind) {
  switch (kind) {
    case CommKind::all_reduce:
      return "all_reduce";
    case CommKind::reduce_scatter:
      return "reduce_scatter";
    case CommKind::all_gather:
      return "all_gather";
    case CommKind::broadcast:
      return "broadcast";
    case CommKind::all_to_all:
      return "all_to_all";
    case CommKind::send_recv:
      return "send_recv";
    case CommKind::barrier:
      return "barrier";
  }
  return "?";
}

double Op::flops() const {
  const auto* gemm = std::get_if<Gemm>(&work);
  return gemm != nullptr ? gemm->flops() : 0.0;
}

std::uint64_t Op::bytes() const {
  return std::visit(
      Overloaded{[](const Gemm&) { return std::uint64_t{0}; },
                 [](const Update& update) { return static_cast<std::uint64_t>(update.bytes()); },
                 [](const Comm& comm) { return comm.bytes(); }},
      work);
}

const char* Op::kind() const {
  return std::visit(Overloaded{[](const Gemm&) { return "gemm"; }, [](const Update&) { return "update"; },
                               [](const Comm& comm) { return to_string(comm.kind); }},
                    work);
}

std::uint32_t RankLayout::ranks() const {
  return std::accumulate(ranks_per_site.begin(), ranks_per_site.end(), 0U);
}

std::uint32_t RankLayout::site_of(RankId rank) const {
  std::uint32_t first = 0;
  for (std::uint32_t site = 0; site < ranks_per_site.size(); ++site) {
    first += ranks_per_site[site];
    if (rank.value() < first)
      return site;
  }
  LOCKSTEP_EXPECT(false, "rank outside the layout");
  return 0;
}

double StepGraph::flops() const {
  return std::accumulate(ops.begin(), ops.end(), 0.0,
                         [](double sum, const Op& op) { return sum + op.flops(); });
}

std::uint64_t StepGraph::memory_bytes() const {
  return std::accumulate(buffers.begin(), buffers.end(), std::uint64_t{0},
                         [](std::uint64_t sum, const Buffer& buffer) { return sum + buffer.bytes(); });
}

std::vector<OpId> StepGraph::comm_ops() const {
  std::vector<OpId> found;
  for (std::uint32_t i = 0; i < ops.size(); ++i) {
    if (ops[i].stream() == Stream::communication)
      found.emplace_back(i);
  }
  return found;
}

void StepGraph::check() const {
  GraphCheck(*this).run();
}

const std::vector<RankId>& part_of(const Group& group, RankId rank) {
  for (const auto& part : group.parts) {
    if (std::find(part.begin(), part.end(), rank) != part.end())
      return part;
  }
  LOCKSTEP_EXPECT(false, "rank in no part of group " + group.name);
  return group.parts.front();
}

}  // namespace lockstep::step
