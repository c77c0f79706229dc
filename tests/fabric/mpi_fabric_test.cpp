#include "harness/fabric/mpi_fabric.hpp"

#include <limits>
#include <memory>
#include <ostream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "harness/core/error.hpp"
#include "harness/cuda/device.hpp"
#include "harness/fabric/make_fabric.hpp"
#include "tests/fabric/fabric_fixture.hpp"
#include "tests/fabric/known_results.hpp"

namespace lockstep::fabric {
namespace {

using step::BufferSet;
using step::Comm;
using step::CommKind;
using step::CommState;
using step::Dtype;

void expect_result(BufferSet& buffers, const CommGraph& graph, const Comm& comm) {
  const RankId self = own_rank();
  const std::vector<RankId>& part = graph.part(comm.group, self);
  const std::uint64_t elements = graph.graph().buffer(comm.to.buffer).elements;
  for (std::uint64_t i = 0; i < elements; ++i) {
    ASSERT_EQ(read(buffers, graph.graph(), comm, i), expected(comm, part, self, i))
        << to_string(comm.kind) << " element " << i << " of " << elements;
  }
}

struct Case {
  CommKind kind;
  Dtype dtype;
  GroupId group;
};

void PrintTo(const Case& which, std::ostream* out) {
  *out << to_string(which.kind) << '_' << to_string(which.dtype) << "_group" << which.group.value();
}

std::uint64_t part_size(GroupId group) {
  const auto n = static_cast<std::uint64_t>(mpi::Communicator::world().size());
  return group == CommGraph::kWorld ? n : (n + 1) / 2;
}

class MpiFabricOp : public testing::TestWithParam<Case> {};

TEST_P(MpiFabricOp, LeavesWhatItsDefinitionSays) {
  const Case which = GetParam();
  const mpi::Communicator world = mpi::Communicator::world();
  CommGraph graph(world.size());
  const std::uint64_t n = part_size(which.group);
  const Comm comm = graph.add(which.kind, which.group, which.dtype, 60 * n, n);
  graph.graph().check();
  MpiFabric fabric(graph.graph(), world, {});
  BufferSet buffers(graph.graph(), BufferSet::Need::all, own_rank());
  // Three times: the input must come through unchanged, and slots must be usable again.
  for (int round = 0; round < 3; ++round) {
    write_input(buffers, graph.graph(), comm, own_rank());
    ASSERT_EQ(finish(fabric, fabric.start(comm, graph.graph(), buffers)), CommState::done);
    expect_result(buffers, graph, comm);
  }
}

TEST_P(MpiFabricOp, IsTheSameInPieces) {
  const Case which = GetParam();
  const mpi::Communicator world = mpi::Communicator::world();
  CommGraph graph(world.size());
  const std::uint64_t n = part_size(which.group);
  const Comm comm = graph.add(which.kind, which.group, which.dtype, 60 * n, n);
  MpiFabric fabric(graph.graph(), world, {.set_up_deadline_s = kTestDeadlineS, .piece_elements = 7});
  BufferSet buffers(graph.graph(), BufferSet::Need::all, own_rank());
  write_input(buffers, graph.graph(), comm, own_rank());
  ASSERT_EQ(finish(fabric, fabric.start(comm, graph.graph(), buffers)), CommState::done);
  expect_result(buffers, graph, comm);
}

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  for (const CommKind kind : {CommKind::all_reduce, CommKind::reduce_scatter, CommKind::all_gather,
                              CommKind::broadcast, CommKind::all_to_all, CommKind::send_recv}) {
    for (const Dtype dtype : {Dtype::f32, Dtype::f64}) {
      for (const GroupId group : {CommGraph::kWorld, CommGraph::kParity})
        cases.push_back({kind, dtype, group});
    }
  }
  return cases;
}

INSTANTIATE_TEST_SUITE_P(All, MpiFabricOp, testing::ValuesIn(all_cases()), testing::PrintToStringParamName());

TEST(MpiFabric, BarrierEndsWhenAllHaveCome) {
  const mpi::Communicator world = mpi::Communicator::world();
  CommGraph graph(world.size());
  const Comm comm = graph.add(CommKind::barrier, CommGraph::kWorld, Dtype::f32, 0, 1);
  MpiFabric fabric(graph.graph(), world, {});
  BufferSet buffers(graph.graph(), BufferSet::Need::all, own_rank());
  std::int64_t go = 0;
  if (world.rank() != 0)
    world.start_receive(&go, 1, mpi::DataType::i64, 0, 5).wait(kTestDeadlineS);
  const auto ticket = fabric.start(comm, graph.graph(), buffers);
  if (world.rank() == 0 && world.size() > 1) {
    for (int look = 0; look < 100; ++look)
      ASSERT_EQ(fabric.test(ticket), CommState::pending);
    for (int rank = 1; rank < world.size(); ++rank)
      world.start_send(&go, 1, mpi::DataType::i64, rank, 5).wait(kTestDeadlineS);
  }
  EXPECT_EQ(finish(fabric, ticket), CommState::done);
}

TEST(MpiFabric, KeepsSeveralInFlightAndEndsThemInAnyOrder) {
  const mpi::Communicator world = mpi::Communicator::world();
  CommGraph graph(world.size());
  const std::uint64_t n = part_size(CommGraph::kWorld);
  std::vector<Comm> comms;
  for (int i = 0; i < 4; ++i) {
    comms.push_back(
        graph.add(CommKind::all_reduce, CommGraph::kWorld, Dtype::f32, 5000 + static_cast<unsigned>(i), n));
    comms.push_back(graph.add(CommKind::all_gather, CommGraph::kParity, Dtype::f64,
                              40 * part_size(CommGraph::kParity), part_size(CommGraph::kParity)));
    comms.push_back(graph.add(CommKind::send_recv, CommGraph::kWorld, Dtype::f32, 3000, n));
  }
  MpiFabric fabric(graph.graph(), world, {});
  BufferSet buffers(graph.graph(), BufferSet::Need::all, own_rank());
  for (int round = 0; round < 2; ++round) {
    std::vector<step::FabricBackend::Ticket> tickets;
    for (const Comm& comm : comms) {
      write_input(buffers, graph.graph(), comm, own_rank());
      tickets.push_back(fabric.start(comm, graph.graph(), buffers));
    }
    // Every rank looks in another order.
    const std::size_t shift = own_rank().value() * 5;
    for (std::size_t i = 0; i < comms.size(); ++i)
      ASSERT_EQ(finish(fabric, tickets[(i + shift) % comms.size()]), CommState::done);
    for (const Comm& comm : comms)
      expect_result(buffers, graph, comm);
  }
}

TEST(MpiFabric, ReportsAnErrorOfTheTransportInsteadOfThrowing) {
  const mpi::Communicator world = mpi::Communicator::world();
  if (world.size() < 2)
    GTEST_SKIP() << "needs a neighbour";
  // Rank 0 sends more than the graph of rank 1 makes room for.
  CommGraph graph(world.size());
  const Comm comm =
      graph.add(CommKind::send_recv, CommGraph::kWorld, Dtype::f32, world.rank() == 0 ? 64 : 32, 1);
  MpiFabric fabric(graph.graph(), world, {});
  BufferSet buffers(graph.graph(), BufferSet::Need::all, own_rank());
  const auto ticket = fabric.start(comm, graph.graph(), buffers);
  const CommState state = finish(fabric, ticket);
  if (world.rank() == 1) {
    EXPECT_EQ(state, CommState::failed);
    EXPECT_THAT(fabric.error_text(ticket), testing::HasSubstr("MPI_Irecv failed: MPI_ERR_TRUNCATE"));
  } else {
    EXPECT_EQ(state, CommState::done);
  }
}

TEST(MpiFabric, RefusesWhatItCannotSend) {
  const mpi::Communicator world = mpi::Communicator::world();
  CommGraph half(world.size());
  half.add(CommKind::all_reduce, CommGraph::kWorld, Dtype::bf16, 8, 1);
  EXPECT_THROW(MpiFabric(half.graph(), world, {}), InputError);
  CommGraph large(world.size());
  const std::uint64_t n = part_size(CommGraph::kWorld);
  large.add(CommKind::reduce_scatter, CommGraph::kWorld, Dtype::f32, std::uint64_t{1} << 31, n);
  EXPECT_THROW(MpiFabric(large.graph(), world, {}), InputError);
}

TEST(MakeFabric, ChoosesByThePlanAndSaysWhatIsNotThere) {
  const mpi::Communicator world = mpi::Communicator::world();
  CommGraph graph(world.size());
  graph.add(CommKind::all_reduce, CommGraph::kWorld, Dtype::f32, 8, 1);
  const step::RankLayout sites{{static_cast<std::uint32_t>(world.size())}};
  plan::Fabric wanted;
  const HierarchyPlan layout = lay_out(wanted, graph.graph(), sites);
  const FabricNeeds needs{.layout = layout,
                          .leg = world,
                          .memory = step::host_memory(),
                          .machine = "here",
                          .deadline_s = kTestDeadlineS};
  EXPECT_EQ(make_fabric(wanted, needs)->name(), "mpi");
  if (cuda::detect().state == cuda::DeviceState::ready)
    GTEST_SKIP() << "this machine has a GPU";
  // Whatever is missing, all ranks say so and none hangs.
  for (const plan::FabricBackend backend :
       {plan::FabricBackend::nccl, plan::FabricBackend::host_staged, plan::FabricBackend::cuda_aware}) {
    wanted.backend = backend;
    EXPECT_THROW(static_cast<void>(make_fabric(wanted, needs)), std::runtime_error) << to_string(backend);
  }
}

}  // namespace
}  // namespace lockstep::fabric
