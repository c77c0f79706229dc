#include "harness/fabric/hierarchical_fabric.hpp"

#include <memory>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "harness/fabric/mpi_fabric.hpp"
#include "harness/fabric/pattern_validator.hpp"
#include "tests/fabric/fabric_fixture.hpp"
#include "tests/fabric/known_results.hpp"

namespace lockstep::fabric {
namespace {

using step::BufferSet;
using step::Comm;
using step::CommKind;
using step::CommState;
using step::Dtype;

/// Two sites of equal size where there are enough ranks, else one.
step::RankLayout two_sites() {
  const auto ranks = static_cast<std::uint32_t>(mpi::Communicator::world().size());
  if (ranks % 2 != 0)
    return {{ranks}};
  return {{ranks / 2, ranks / 2}};
}

std::unique_ptr<HierarchicalFabric> over_mpi(const HierarchyPlan& plan) {
  return std::make_unique<HierarchicalFabric>(
      plan, std::make_unique<MpiFabric>(plan.graph, mpi::Communicator::world(), MpiFabric::Options{}));
}

void expect_result(BufferSet& buffers, const CommGraph& graph, const Comm& comm) {
  const std::uint64_t elements = graph.graph().buffer(comm.to.buffer).elements;
  for (std::uint64_t i = 0; i < elements; ++i) {
    ASSERT_EQ(read(buffers, graph.graph(), comm, i),
              expected(comm, graph.part(comm.group, own_rank()), own_rank(), i))
        << to_string(comm.kind) << " element " << i;
  }
}

TEST(HierarchicalFabric, LeavesWhatAFlatAllReduceLeaves) {
  CommGraph graph(mpi::Communicator::world().size());
  graph.set_spans_sites();
  const auto n = static_cast<std::uint64_t>(mpi::Communicator::world().size());
  std::vector<Comm> comms;
  for (const std::uint64_t elements : {1U, 2U, 63U, 1000U, 1001U}) {
    comms.push_back(graph.add(CommKind::all_reduce, CommGraph::kWorld, Dtype::f32, elements, n));
    comms.push_back(graph.add(CommKind::all_reduce, CommGraph::kWorld, Dtype::f64, elements, n));
  }
  // Others go through beside them.
  comms.push_back(graph.add(CommKind::all_gather, CommGraph::kWorld, Dtype::f32, 30 * n, n));
  comms.push_back(graph.add(CommKind::send_recv, CommGraph::kParity, Dtype::f32, 30, 1));
  const HierarchyPlan plan =
      plan_hierarchy(graph.graph(), two_sites(), {.piece_bytes = 1000, .most_pieces = 5});
  if (mpi::Communicator::world().size() == 4) {
    ASSERT_EQ(plan.ops.size(), 10U);
  }
  const auto fabric = over_mpi(plan);
  BufferSet buffers(plan.graph, BufferSet::Need::communicated, own_rank());
  for (int round = 0; round < 3; ++round) {
    std::vector<step::FabricBackend::Ticket> tickets;
    for (const Comm& comm : comms) {
      write_input(buffers, graph.graph(), comm, own_rank());
      tickets.push_back(fabric->start(comm, graph.graph(), buffers));
    }
    // Every rank looks at another one first.
    for (std::size_t i = 0; i < comms.size(); ++i)
      ASSERT_EQ(finish(*fabric, tickets[(i + own_rank().value() * 5) % comms.size()]), CommState::done);
    for (const Comm& comm : comms)
      expect_result(buffers, graph, comm);
  }
}

TEST(HierarchicalFabric, KeepsTheSource) {
  CommGraph graph(mpi::Communicator::world().size());
  graph.set_spans_sites();
  const auto n = static_cast<std::uint64_t>(mpi::Communicator::world().size());
  const Comm comm = graph.add(CommKind::all_reduce, CommGraph::kWorld, Dtype::f32, 600, n);
  const HierarchyPlan plan = plan_hierarchy(graph.graph(), two_sites());
  const auto fabric = over_mpi(plan);
  BufferSet buffers(plan.graph, BufferSet::Need::communicated, own_rank());
  write_input(buffers, graph.graph(), comm, own_rank());
  ASSERT_EQ(finish(*fabric, fabric->start(comm, graph.graph(), buffers)), CommState::done);
  for (std::uint64_t i = 0; i < 600; ++i)
    ASSERT_EQ(buffers.floats(comm.from)[i], static_cast<float>(input(own_rank(), i)));
}

TEST(HierarchicalFabric, CarriesTheKnownPattern) {
  CommGraph graph(mpi::Communicator::world().size());
  graph.set_spans_sites();
  const auto n = static_cast<std::uint64_t>(mpi::Communicator::world().size());
  const Comm comm = graph.add(CommKind::all_reduce, CommGraph::kWorld, Dtype::f32, 1003, n);
  const HierarchyPlan plan =
      plan_hierarchy(graph.graph(), two_sites(), {.piece_bytes = 900, .most_pieces = 9});
  const auto fabric = over_mpi(plan);
  BufferSet buffers(plan.graph, BufferSet::Need::communicated, own_rank());
  PatternValidator validator(graph.graph(), own_rank(), 1003);
  validator.plant(3, 0, comm, buffers);
  ASSERT_EQ(finish(*fabric, fabric->start(comm, graph.graph(), buffers)), CommState::done);
  EXPECT_EQ(validator.check(3, 0, comm, buffers).wrong, 0U);
}

/// Fails what it is told to.
class FailingFabric final : public step::FabricBackend {
 public:
  explicit FailingFabric(CommKind kind) : kind_(kind) {}
  Ticket start(const Comm& comm, const step::StepGraph& /*graph*/, BufferSet& /*buffers*/) override {
    kinds_.push_back(comm.kind);
    return static_cast<Ticket>(kinds_.size() - 1);
  }
  CommState test(Ticket ticket) override {
    return kinds_[ticket] == kind_ ? CommState::failed : CommState::done;
  }
  [[nodiscard]] std::string error_text(Ticket /*ticket*/) const override { return "link down"; }
  [[nodiscard]] std::string name() const override { return "failing"; }
  void abandon() noexcept override { abandoned = true; }
  bool abandoned = false;

 private:
  CommKind kind_;
  std::vector<CommKind> kinds_;
};

TEST(HierarchicalFabric, AFailureInAnyPhaseIsAFailureOfTheWhole) {
  for (const CommKind kind : {CommKind::reduce_scatter, CommKind::all_reduce, CommKind::all_gather}) {
    CommGraph graph(4);
    graph.set_spans_sites();
    const Comm comm = graph.add(CommKind::all_reduce, CommGraph::kWorld, Dtype::f32, 8, 4);
    const HierarchyPlan plan = plan_hierarchy(graph.graph(), {{2, 2}});
    auto inner = std::make_unique<FailingFabric>(kind);
    FailingFabric& failing = *inner;
    HierarchicalFabric fabric(plan, std::move(inner));
    BufferSet buffers(plan.graph, BufferSet::Need::communicated, RankId(0));
    const auto ticket = fabric.start(comm, graph.graph(), buffers);
    EXPECT_EQ(finish(fabric, ticket), CommState::failed) << to_string(kind);
    EXPECT_EQ(fabric.error_text(ticket), "link down");
    fabric.abandon();
    EXPECT_TRUE(failing.abandoned);
  }
}

}  // namespace
}  // namespace lockstep::fabric
