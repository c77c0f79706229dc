#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "harness/core/clock.hpp"
#include "harness/core/units.hpp"
#include "harness/mpi/communicator.hpp"
#include "harness/step/backends.hpp"
#include "harness/step/graph.hpp"

namespace lockstep::fabric {

constexpr double kTestDeadlineS = 20.0;

/// A graph of communications alone, over all ranks ("world") and over ranks of equal parity
/// ("data_parallel").
class CommGraph {
 public:
  static constexpr GroupId kWorld{0};
  static constexpr GroupId kParity{1};

  explicit CommGraph(int ranks) {
    step::Group world{.name = "world", .parts = {{}}, .spans_sites = false};
    step::Group parity{.name = "data_parallel", .parts = {{}, {}}, .spans_sites = false};
    for (std::uint32_t rank = 0; rank < static_cast<std::uint32_t>(ranks); ++rank) {
      world.parts[0].emplace_back(rank);
      // Backwards, so that a rank's position in its part differs from its order in the leg.
      auto& part = parity.parts[rank % 2];
      part.insert(part.begin(), RankId(rank));
    }
    if (ranks == 1)
      parity.parts.pop_back();
    graph_.workload = "test";
    graph_.groups = {world, parity};
  }

  /// Adds an op with buffers of its own. Both buffers are one rank's share long where the kind says so.
  step::Comm add(step::CommKind kind, GroupId group, step::Dtype dtype, std::uint64_t elements,
                 std::uint64_t ranks) {
    const auto id = static_cast<std::uint32_t>(graph_.buffers.size());
    const std::string name = std::string(to_string(kind)) + std::to_string(graph_.ops.size());
    const bool shrinks = kind == step::CommKind::reduce_scatter;
    const bool grows = kind == step::CommKind::all_gather;
    graph_.buffers.push_back(
        {name + ".from", step::BufferRole::gradients, dtype, grows ? elements / ranks : elements});
    graph_.buffers.push_back(
        {name + ".to", step::BufferRole::reduced, dtype, shrinks ? elements / ranks : elements});
    step::Comm comm;
    comm.kind = kind;
    comm.group = group;
    comm.dtype = dtype;
    comm.elements = elements;
    comm.from = {BufferId(id), 0};
    comm.to = {BufferId(id + 1), 0};
    comm.validated = true;
    graph_.ops.push_back({.name = name, .phase = step::Phase::backward, .work = comm, .after = {}});
    return comm;
  }

  /// As if the ranks of both groups were at several sites.
  void set_spans_sites() {
    for (step::Group& group : graph_.groups)
      group.spans_sites = true;
  }

  [[nodiscard]] const step::StepGraph& graph() const { return graph_; }
  [[nodiscard]] const std::vector<RankId>& part(GroupId group, RankId self) const {
    return step::part_of(graph_.group(group), self);
  }

 private:
  step::StepGraph graph_;
};

/// Tests until the operation has ended one way or the other; `pending` when the deadline came first.
inline step::CommState finish(step::FabricBackend& fabric, step::FabricBackend::Ticket ticket) {
  const std::int64_t deadline_ns = monotonic_ns() + static_cast<std::int64_t>(kTestDeadlineS * kNsPerS);
  step::CommState state = step::CommState::pending;
  mpi::Backoff backoff(mpi::WaitStyle::patient);
  while ((state = fabric.test(ticket)) == step::CommState::pending && monotonic_ns() < deadline_ns)
    backoff.pause();
  return state;
}

inline RankId own_rank() {
  return RankId(static_cast<std::uint32_t>(mpi::Communicator::world().rank()));
}

}  // namespace lockstep::fabric
