#include "harness/fabric/host_staged_fabric.hpp"

#include <memory>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "harness/fabric/flipping_validator.hpp"
#include "harness/fabric/mpi_fabric.hpp"
#include "harness/fabric/pattern_validator.hpp"
#include "tests/cuda/fake_nccl.hpp"
#include "tests/fabric/fabric_fixture.hpp"
#include "tests/fabric/fake_device.hpp"
#include "tests/fabric/known_results.hpp"

// Device memory and its queues are the tests' own; MPI is real.
namespace lockstep::fabric {
namespace {

using cuda::testing::FakeQueue;
using step::BufferSet;
using step::Comm;
using step::CommKind;
using step::CommState;
using step::Dtype;

/// A HostStagedFabric and the two queues that it copies with.
struct Staged {
  explicit Staged(const step::StepGraph& graph, std::unique_ptr<step::FabricBackend> inner = nullptr) {
    HostStagedFabric::Parts parts;
    parts.inner = inner
                      ? std::move(inner)
                      : std::make_unique<MpiFabric>(graph, mpi::Communicator::world(), MpiFabric::Options{});
    parts.host = std::make_unique<BufferSet>(graph, BufferSet::Need::communicated, own_rank());
    auto down_queue = std::make_unique<FakeQueue>(graph.comm_ops().size());
    auto up_queue = std::make_unique<FakeQueue>(graph.comm_ops().size());
    down = down_queue.get();
    up = up_queue.get();
    parts.down = std::move(down_queue);
    parts.up = std::move(up_queue);
    fabric = std::make_unique<HostStagedFabric>(graph, own_rank(), std::move(parts));
  }
  FakeQueue* down = nullptr;
  FakeQueue* up = nullptr;
  std::unique_ptr<HostStagedFabric> fabric;
};

void expect_result(BufferSet& buffers, const CommGraph& graph, const Comm& comm) {
  const std::uint64_t elements = graph.graph().buffer(comm.to.buffer).elements;
  for (std::uint64_t i = 0; i < elements; ++i) {
    ASSERT_EQ(read(buffers, graph.graph(), comm, i),
              expected(comm, graph.part(comm.group, own_rank()), own_rank(), i))
        << to_string(comm.kind) << " element " << i;
  }
}

/// One of every kind, all in flight together.
std::vector<Comm> one_of_each(CommGraph& graph) {
  const auto n = static_cast<std::uint64_t>(mpi::Communicator::world().size());
  std::vector<Comm> comms;
  for (const CommKind kind : {CommKind::all_reduce, CommKind::reduce_scatter, CommKind::all_gather,
                              CommKind::broadcast, CommKind::all_to_all, CommKind::send_recv})
    comms.push_back(graph.add(kind, CommGraph::kWorld, Dtype::f32, 60 * n, n));
  return comms;
}

void run_all(step::FabricBackend& fabric, const CommGraph& graph, const std::vector<Comm>& comms,
             BufferSet& buffers) {
  std::vector<step::FabricBackend::Ticket> tickets;
  for (const Comm& comm : comms) {
    write_input(buffers, graph.graph(), comm, own_rank());
    tickets.push_back(fabric.start(comm, graph.graph(), buffers));
  }
  // Every rank looks at another one first, and so wants another one to go on.
  for (std::size_t i = 0; i < comms.size(); ++i)
    ASSERT_EQ(finish(fabric, tickets[(i + own_rank().value() * 3) % comms.size()]), CommState::done);
  for (const Comm& comm : comms)
    expect_result(buffers, graph, comm);
}

TEST(HostStagedFabric, LeavesOnTheDeviceWhatTheDefinitionSays) {
  CommGraph graph(mpi::Communicator::world().size());
  const std::vector<Comm> comms = one_of_each(graph);
  Staged staged(graph.graph());
  // Ranks differ in how long their copies take.
  staged.down->copies_behind = static_cast<int>(own_rank().value()) * 7;
  staged.up->copies_behind = 5;
  FakeDeviceMemory memory;
  BufferSet buffers(graph.graph(), BufferSet::Need::communicated, own_rank(), memory);
  EXPECT_EQ(staged.fabric->name(), "host-staged mpi");
  for (int round = 0; round < 3; ++round)
    run_all(*staged.fabric, graph, comms, buffers);
}

TEST(HostStagedFabric, ABarrierCopiesNothing) {
  CommGraph graph(mpi::Communicator::world().size());
  const Comm comm = graph.add(CommKind::barrier, CommGraph::kWorld, Dtype::f32, 0, 1);
  Staged staged(graph.graph());
  FakeDeviceMemory memory;
  BufferSet buffers(graph.graph(), BufferSet::Need::communicated, own_rank(), memory);
  EXPECT_EQ(finish(*staged.fabric, staged.fabric->start(comm, graph.graph(), buffers)), CommState::done);
}

TEST(HostStagedFabric, AnErrorOfTheDeviceFailsTheOperation) {
  CommGraph graph(1);
  const Comm comm = graph.add(CommKind::barrier, CommGraph::kWorld, Dtype::f32, 0, 1);
  if (mpi::Communicator::world().size() > 1)
    GTEST_SKIP() << "one rank is enough";
  for (const bool way_up : {false, true}) {
    Staged staged(graph.graph());
    FakeDeviceMemory memory;
    BufferSet buffers(graph.graph(), BufferSet::Need::communicated, own_rank(), memory);
    (way_up ? staged.up : staged.down)->broken = true;
    const auto ticket = staged.fabric->start(comm, graph.graph(), buffers);
    EXPECT_EQ(finish(*staged.fabric, ticket), CommState::failed);
    EXPECT_THAT(staged.fabric->error_text(ticket), testing::HasSubstr("cudaErrorIllegalAddress"));
  }
}

/// Remembers in which order operations were begun.
class RecordingFabric final : public step::FabricBackend {
 public:
  explicit RecordingFabric(std::vector<std::uint64_t>& begun) : begun_(begun) {}
  Ticket start(const Comm& comm, const step::StepGraph& /*graph*/, BufferSet& /*buffers*/) override {
    begun_.push_back(comm.elements);
    return 0;
  }
  CommState test(Ticket /*ticket*/) override { return CommState::done; }
  [[nodiscard]] std::string error_text(Ticket /*ticket*/) const override { return {}; }
  [[nodiscard]] std::string name() const override { return "recording"; }

 private:
  std::vector<std::uint64_t>& begun_;
};

TEST(HostStagedFabric, BeginsInTheOrderOfStartWhicheverIsLookedAt) {
  CommGraph graph(1);
  std::vector<Comm> comms;
  for (const std::uint64_t elements : {30U, 10U, 20U})
    comms.push_back(graph.add(CommKind::all_reduce, CommGraph::kWorld, Dtype::f32, elements, 1));
  if (mpi::Communicator::world().size() > 1)
    GTEST_SKIP() << "one rank is enough";
  std::vector<std::uint64_t> begun;
  Staged staged(graph.graph(), std::make_unique<RecordingFabric>(begun));
  staged.down->copies_behind = 4;
  FakeDeviceMemory memory;
  BufferSet buffers(graph.graph(), BufferSet::Need::communicated, own_rank(), memory);
  std::vector<step::FabricBackend::Ticket> tickets;
  for (const Comm& comm : comms)
    tickets.push_back(staged.fabric->start(comm, graph.graph(), buffers));
  EXPECT_TRUE(begun.empty()) << "the copies are not done";
  for (std::size_t i = comms.size(); i-- > 0;)
    EXPECT_EQ(finish(*staged.fabric, tickets[i]), CommState::done);
  EXPECT_THAT(begun, testing::ElementsAre(30U, 10U, 20U));
}

TEST(CudaAware, MpiCopiesWithTheQueueWhereItCopiesAtAll) {
  CommGraph graph(mpi::Communicator::world().size());
  const std::vector<Comm> comms = one_of_each(graph);
  FakeQueue queue(graph.graph().comm_ops().size());
  queue.copies_behind = 3;
  MpiFabric::Options options;
  options.queue = &queue;
  options.name = "cuda-aware";
  MpiFabric fabric(graph.graph(), mpi::Communicator::world(), options);
  FakeDeviceMemory memory;
  BufferSet buffers(graph.graph(), BufferSet::Need::communicated, own_rank(), memory);
  EXPECT_EQ(fabric.name(), "cuda-aware");
  for (int round = 0; round < 2; ++round)
    run_all(fabric, graph, comms, buffers);
}

TEST(DevicePattern, IsPlantedAndFoundWhereTheHostCannotLook) {
  CommGraph graph(mpi::Communicator::world().size());
  const std::vector<Comm> comms = one_of_each(graph);
  Staged staged(graph.graph());
  FakeDeviceMemory memory;
  BufferSet buffers(graph.graph(), BufferSet::Need::communicated, own_rank(), memory);
  PatternValidator validator(graph.graph(), own_rank(), 8);
  FlippingValidator flipping(graph.graph(), validator, [](const FlippingValidator::Place&) {});
  flipping.arm(1);
  for (std::uint32_t i = 0; i < comms.size(); ++i) {
    memory.writes = 0;
    validator.plant(1, i, comms[i], buffers);
    EXPECT_GT(memory.writes, 0);
    ASSERT_EQ(finish(*staged.fabric, staged.fabric->start(comms[i], graph.graph(), buffers)),
              CommState::done);
    memory.reads = 0;
    EXPECT_EQ(flipping.check(1, i, comms[i], buffers).wrong, i == 0 ? 1U : 0U);
    EXPECT_GT(memory.reads, 0);
  }
}

}  // namespace
}  // namespace lockstep::fabric
