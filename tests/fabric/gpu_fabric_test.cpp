// On a machine with a GPU: the fabrics that send from it, with all ranks on one card. Skips elsewhere, with
// the reason.

#include <algorithm>
#include <memory>
#include <ostream>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "harness/compute/cuda_memory.hpp"
#include "harness/core/error.hpp"
#include "harness/cuda/bounded_call.hpp"
#include "harness/cuda/device.hpp"
#include "harness/cuda/nccl_api.hpp"
#include "harness/cuda/stream.hpp"
#include "harness/fabric/make_fabric.hpp"
#include "harness/fabric/pattern_validator.hpp"
#include "harness/mpi/collect.hpp"
#include "harness/mpi/cuda_support.hpp"
#include "tests/fabric/fabric_fixture.hpp"
#include "tests/fabric/known_results.hpp"

namespace lockstep::fabric {
namespace {

using step::BufferSet;
using step::Comm;
using step::CommKind;
using step::CommState;
using step::Dtype;

constexpr double kMeetS = 60.0;

struct Choice {
  plan::FabricBackend backend;
  plan::AllReduce all_reduce;
};

void PrintTo(const Choice& choice, std::ostream* out) {
  std::string backend = to_string(choice.backend);
  std::replace(backend.begin(), backend.end(), '-', '_');  // names of tests have none
  *out << backend << "_" << to_string(choice.all_reduce);
}

/// Why this machine cannot run it; empty: it can.
std::string missing(plan::FabricBackend backend) {
  const cuda::Detection found = cuda::detect();
  if (found.state != cuda::DeviceState::ready)
    return found.reason;
  if (backend == plan::FabricBackend::nccl && cuda::nccl_library().api == nullptr)
    return cuda::nccl_library().reason;
  if (backend == plan::FabricBackend::cuda_aware && mpi::cuda_support() == mpi::CudaSupport::no)
    return "this MPI takes no device memory";
  if (backend == plan::FabricBackend::cuda_aware && !mpi::nonblocking_collectives_take_device_memory())
    return "this MPI's nonblocking collectives take host memory only";
  return {};
}

/// Two sites where there are enough ranks for them.
step::RankLayout layout_of(int ranks) {
  const auto count = static_cast<std::uint32_t>(ranks);
  return ranks >= 2 ? step::RankLayout{{count / 2, count - count / 2}} : step::RankLayout{{count}};
}

void read_all(BufferSet& buffers, const step::StepGraph& graph, const Comm& comm, std::vector<float>& to) {
  to.resize(graph.buffer(comm.to.buffer).elements);
  buffers.read(buffers.at(graph, comm.to), std::as_writable_bytes(std::span(to)));
}

class GpuFabric : public testing::TestWithParam<Choice> {
 protected:
  void SetUp() override {
    const std::string why = missing(GetParam().backend);
    if (!why.empty())
      GTEST_SKIP() << why;
    plan_.backend = GetParam().backend;
    plan_.all_reduce = GetParam().all_reduce;
    plan_.piece_mib = 1;
    plan_.share_gpu = true;
    const auto devices = cuda::detect().devices;
    const int device = devices[static_cast<std::size_t>(world_.rank()) % devices.size()].index;
    cuda::make_current(device);
    memory_ = std::make_unique<compute::CudaMemory>(device);
  }
  [[nodiscard]] std::unique_ptr<step::FabricBackend> make(const HierarchyPlan& layout) {
    return make_fabric(
        plan_,
        {.layout = layout, .leg = world_, .memory = *memory_, .machine = "here", .deadline_s = kMeetS});
  }
  mpi::Communicator world_ = mpi::Communicator::world();
  plan::Fabric plan_;
  std::unique_ptr<compute::CudaMemory> memory_;
};

TEST_P(GpuFabric, EveryKindLeavesOnTheDeviceWhatItsDefinitionSays) {
  CommGraph graph(world_.size());
  graph.set_spans_sites();
  const auto n = static_cast<std::uint64_t>(world_.size());
  std::vector<Comm> comms;
  for (const CommKind kind : {CommKind::all_reduce, CommKind::reduce_scatter, CommKind::all_gather,
                              CommKind::broadcast, CommKind::all_to_all, CommKind::send_recv})
    comms.push_back(graph.add(kind, CommGraph::kWorld, Dtype::f32, 10'000 * n, n));
  comms.push_back(graph.add(CommKind::all_reduce, CommGraph::kWorld, Dtype::f32, 1'000'003, n));
  const HierarchyPlan layout = lay_out(plan_, graph.graph(), layout_of(world_.size()));
  BufferSet buffers(layout.graph, BufferSet::Need::communicated, own_rank(), *memory_);
  const auto fabric = make(layout);
  for (int round = 0; round < 3; ++round) {
    std::vector<step::FabricBackend::Ticket> tickets;
    for (const Comm& comm : comms) {
      std::vector<float> from(graph.graph().buffer(comm.from.buffer).elements);
      for (std::size_t i = 0; i < from.size(); ++i)
        from[i] = static_cast<float>(input(own_rank(), i));  // sums stay below 2^24
      buffers.write(buffers.at(graph.graph(), comm.from), std::as_bytes(std::span(from)));
      tickets.push_back(fabric->start(comm, graph.graph(), buffers));
    }
    for (std::size_t i = 0; i < comms.size(); ++i)
      ASSERT_EQ(finish(*fabric, tickets[i]), CommState::done) << fabric->error_text(tickets[i]);
    std::vector<float> to;
    for (const Comm& comm : comms) {
      read_all(buffers, graph.graph(), comm, to);
      const auto& part = graph.part(comm.group, own_rank());
      for (std::size_t i = 0; i < to.size(); ++i)
        ASSERT_EQ(to[i], static_cast<float>(expected(comm, part, own_rank(), i)))
            << to_string(comm.kind) << " element " << i;
    }
  }
}

TEST_P(GpuFabric, CarriesTheKnownPattern) {
  CommGraph graph(world_.size());
  graph.set_spans_sites();
  const auto n = static_cast<std::uint64_t>(world_.size());
  const Comm comm = graph.add(CommKind::all_reduce, CommGraph::kWorld, Dtype::f32, 4'000'001, n);
  const HierarchyPlan layout = lay_out(plan_, graph.graph(), layout_of(world_.size()));
  BufferSet buffers(layout.graph, BufferSet::Need::communicated, own_rank(), *memory_);
  const auto fabric = make(layout);
  PatternValidator validator(graph.graph(), own_rank(), 256);
  for (std::uint32_t step = 0; step < 5; ++step) {
    validator.plant(step, 0, comm, buffers);
    ASSERT_EQ(finish(*fabric, fabric->start(comm, graph.graph(), buffers)), CommState::done);
    EXPECT_EQ(validator.check(step, 0, comm, buffers).wrong, 0U);
  }
}

TEST_P(GpuFabric, ARankThatDoesNotComeIsAbandonedWithoutHanging) {
  if (GetParam().backend != plan::FabricBackend::nccl || world_.size() < 2)
    GTEST_SKIP() << "needs NCCL and two ranks";
  CommGraph graph(world_.size());
  const auto n = static_cast<std::uint64_t>(world_.size());
  const Comm comm = graph.add(CommKind::all_reduce, CommGraph::kWorld, Dtype::f32, 1'000'000, n);
  const HierarchyPlan layout = lay_out({}, graph.graph(), layout_of(world_.size()));
  // Kept, with its memory: a collective that could not be aborted may still be on the device.
  static std::vector<std::unique_ptr<compute::CudaMemory>> kept_memory;
  static std::vector<std::unique_ptr<BufferSet>> kept;
  BufferSet& buffers = *kept.emplace_back(
      std::make_unique<BufferSet>(layout.graph, BufferSet::Need::communicated, own_rank(), *memory_));
  auto fabric = make(layout);
  kept_memory.push_back(std::move(memory_));
  if (world_.rank() != 0) {
    const auto ticket = fabric->start(comm, graph.graph(), buffers);
    for (int look = 0; look < 1000; ++look)
      ASSERT_EQ(fabric->test(ticket), CommState::pending);
  }
  fabric->abandon();
  mpi::barrier(world_, kMeetS);  // everybody has come back
  EXPECT_EQ(cuda::calls_left_behind(), 0U) << "the abort returned";
}

INSTANTIATE_TEST_SUITE_P(All, GpuFabric,
                         testing::Values(Choice{plan::FabricBackend::nccl, plan::AllReduce::flat},
                                         Choice{plan::FabricBackend::nccl, plan::AllReduce::hierarchical},
                                         Choice{plan::FabricBackend::host_staged, plan::AllReduce::flat},
                                         Choice{plan::FabricBackend::host_staged,
                                                plan::AllReduce::hierarchical},
                                         Choice{plan::FabricBackend::cuda_aware, plan::AllReduce::flat}),
                         testing::PrintToStringParamName());

}  // namespace
}  // namespace lockstep::fabric
