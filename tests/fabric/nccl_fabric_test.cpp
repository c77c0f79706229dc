#include "harness/fabric/nccl_fabric.hpp"

#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "harness/fabric/hierarchical_fabric.hpp"
#include "tests/cuda/fake_nccl.hpp"
#include "tests/fabric/fabric_fixture.hpp"
#include "tests/fabric/fake_device.hpp"
#include "tests/fabric/known_results.hpp"

// All ranks of a leg in one process, with an NCCL of the tests' own: no GPU, no MPI.
namespace lockstep::fabric {
namespace {

using cuda::testing::FakeNccl;
using cuda::testing::FakeQueue;
using step::BufferSet;
using step::Comm;
using step::CommKind;
using step::CommState;
using step::Dtype;
using Ticket = step::FabricBackend::Ticket;

constexpr int kManyLooks = 10'000;

/// The ranks of a graph, each with its fabric and buffers.
class Leg {
 public:
  Leg(FakeNccl& nccl, const step::StepGraph& graph, int ranks,
      NcclFabric::Order order = NcclFabric::Order::across_groups)
      : graph_(graph) {
    const std::size_t comms = graph.comm_ops().size();
    const cuda::NcclId id = cuda::make_nccl_id(nccl.api());
    for (int i = 0; i < ranks; ++i) {
      const RankId self(static_cast<std::uint32_t>(i));
      cuda::NcclCommunicator all(nccl.api(), id, ranks, i, {}, kTestDeadlineS);
      std::vector<std::optional<NcclGroup>> groups(graph.groups.size());
      std::vector<FakeQueue*> queues;
      for (std::size_t g = 0; g < groups.size(); ++g) {
        const step::Group& group = graph.groups[g];
        for (std::size_t part = 0; part < group.parts.size(); ++part) {
          const auto& members = group.parts[part];
          const auto found = std::find(members.begin(), members.end(), self);
          if (found == members.end())
            continue;
          const int position = static_cast<int>(found - members.begin());
          auto queue = std::make_unique<FakeQueue>(comms);
          queues.push_back(queue.get());
          groups[g].emplace(
              NcclGroup{all.split(static_cast<int>(part), position, static_cast<int>(members.size()),
                                  position, {}, kTestDeadlineS),
                        std::move(queue)});
        }
      }
      queues_.push_back(queues);
      memory_.push_back(std::make_unique<FakeDeviceMemory>());
      fabrics_.push_back(
          std::make_unique<NcclFabric>(graph, self, std::move(groups), *memory_.back(), order));
      fabrics_.back()->keep(std::move(all));
      buffers_.push_back(std::make_unique<BufferSet>(graph, BufferSet::Need::all, self, *memory_.back()));
    }
  }

  [[nodiscard]] std::size_t ranks() const { return fabrics_.size(); }
  [[nodiscard]] NcclFabric& fabric(std::size_t rank) { return *fabrics_[rank]; }
  [[nodiscard]] std::unique_ptr<NcclFabric> take(std::size_t rank) { return std::move(fabrics_[rank]); }
  [[nodiscard]] BufferSet& buffers(std::size_t rank) { return *buffers_[rank]; }
  [[nodiscard]] FakeQueue& queue(std::size_t rank, std::size_t group) { return *queues_[rank][group]; }
  void clear() { fabrics_.clear(); }

  Ticket start(std::size_t rank, const Comm& comm) {
    if (comm.kind != CommKind::barrier)
      write_input(buffers(rank), graph_, comm, RankId(static_cast<std::uint32_t>(rank)));
    return fabric(rank).start(comm, graph_, buffers(rank));
  }

 private:
  const step::StepGraph& graph_;
  std::vector<std::unique_ptr<FakeDeviceMemory>> memory_;
  std::vector<std::unique_ptr<BufferSet>> buffers_;
  std::vector<std::vector<FakeQueue*>> queues_;
  std::vector<std::unique_ptr<NcclFabric>> fabrics_;
};

/// Looks at all operations in turn until every one has ended, or none moves any more.
std::vector<CommState> finish_all(const std::vector<step::FabricBackend*>& fabrics,
                                  const std::vector<Ticket>& tickets) {
  std::vector<CommState> states(tickets.size(), CommState::pending);
  for (int look = 0; look < kManyLooks; ++look) {
    for (std::size_t i = 0; i < tickets.size(); ++i) {
      if (states[i] == CommState::pending)
        states[i] = fabrics[i]->test(tickets[i]);
    }
  }
  return states;
}

void expect_result(BufferSet& buffers, const CommGraph& graph, const Comm& comm, RankId self) {
  const std::uint64_t elements = graph.graph().buffer(comm.to.buffer).elements;
  for (std::uint64_t i = 0; i < elements; ++i) {
    ASSERT_EQ(read(buffers, graph.graph(), comm, i), expected(comm, graph.part(comm.group, self), self, i))
        << to_string(comm.kind) << " on rank " << self.value() << ", element " << i;
  }
}

struct Case {
  CommKind kind;
  Dtype dtype;
  GroupId group;
  int ranks;
  int looks;
};

void PrintTo(const Case& which, std::ostream* out) {
  *out << to_string(which.kind) << '_' << to_string(which.dtype) << "_group" << which.group.value()
       << "_ranks" << which.ranks << "_looks" << which.looks;
}

class NcclFabricOp : public testing::TestWithParam<Case> {};

TEST_P(NcclFabricOp, LeavesWhatItsDefinitionSays) {
  const Case which = GetParam();
  FakeNccl nccl;
  CommGraph graph(which.ranks);
  const auto n =
      static_cast<std::uint64_t>(which.group == CommGraph::kWorld ? which.ranks : (which.ranks + 1) / 2);
  const Comm comm = graph.add(which.kind, which.group, which.dtype, 60 * n, n);
  Leg leg(nccl, graph.graph(), which.ranks);
  nccl.behaviour.looks = which.looks;
  for (int round = 0; round < 3; ++round) {
    std::vector<Ticket> tickets;
    std::vector<step::FabricBackend*> fabrics;
    for (std::size_t rank = 0; rank < leg.ranks(); ++rank) {
      tickets.push_back(leg.start(rank, comm));
      fabrics.push_back(&leg.fabric(rank));
    }
    for (const CommState state : finish_all(fabrics, tickets))
      ASSERT_EQ(state, CommState::done);
    for (std::size_t rank = 0; rank < leg.ranks(); ++rank)
      expect_result(leg.buffers(rank), graph, comm, RankId(static_cast<std::uint32_t>(rank)));
  }
  nccl.behaviour.looks = 0;
  leg.clear();
  EXPECT_EQ(nccl.counts().refused, 0) << "nothing was asked of a communicator in progress";
  EXPECT_EQ(nccl.counts().aborted, 0);
  EXPECT_EQ(nccl.counts().destroyed, nccl.counts().made);
}

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  for (const CommKind kind : {CommKind::all_reduce, CommKind::reduce_scatter, CommKind::all_gather,
                              CommKind::broadcast, CommKind::all_to_all, CommKind::send_recv}) {
    for (const int ranks : {1, 2, 4}) {
      cases.push_back({kind, Dtype::f32, CommGraph::kWorld, ranks, 0});
      cases.push_back({kind, Dtype::f64, CommGraph::kParity, ranks, 3});
    }
  }
  return cases;
}
INSTANTIATE_TEST_SUITE_P(All, NcclFabricOp, testing::ValuesIn(all_cases()),
                         testing::PrintToStringParamName());

TEST(NcclFabric, ABarrierWaitsForTheLast) {
  FakeNccl nccl;
  CommGraph graph(2);
  const Comm comm = graph.add(CommKind::barrier, CommGraph::kWorld, Dtype::f32, 0, 1);
  Leg leg(nccl, graph.graph(), 2);
  const Ticket first = leg.start(0, comm);
  for (int look = 0; look < 100; ++look)
    ASSERT_EQ(leg.fabric(0).test(first), CommState::pending);
  const Ticket second = leg.start(1, comm);
  EXPECT_EQ(leg.fabric(0).test(first), CommState::done);
  EXPECT_EQ(leg.fabric(1).test(second), CommState::done);
}

TEST(NcclFabric, EntersInTheSameOrderOnEveryRankWhicheverIsLookedAtFirst) {
  FakeNccl nccl;
  constexpr int kRanks = 4;
  CommGraph graph(kRanks);
  std::vector<Comm> comms;
  for (int i = 0; i < 3; ++i) {
    comms.push_back(graph.add(CommKind::all_reduce, CommGraph::kWorld, Dtype::f32, 40, kRanks));
    comms.push_back(graph.add(CommKind::all_gather, CommGraph::kParity, Dtype::f32, 40, 2));
    comms.push_back(graph.add(CommKind::send_recv, CommGraph::kWorld, Dtype::f32, 40, kRanks));
  }
  Leg leg(nccl, graph.graph(), kRanks);
  nccl.behaviour.looks = 2;
  for (int round = 0; round < 2; ++round) {
    std::vector<Ticket> tickets;
    std::vector<step::FabricBackend*> fabrics;
    for (std::size_t rank = 0; rank < leg.ranks(); ++rank) {
      std::vector<Ticket> own;
      for (const Comm& comm : comms)
        own.push_back(leg.start(rank, comm));
      // Every rank looks in another order.
      std::rotate(own.begin(), own.begin() + static_cast<std::ptrdiff_t>(rank * 2), own.end());
      for (const Ticket ticket : own) {
        tickets.push_back(ticket);
        fabrics.push_back(&leg.fabric(rank));
      }
    }
    for (const CommState state : finish_all(fabrics, tickets))
      ASSERT_EQ(state, CommState::done);
    for (std::size_t rank = 0; rank < leg.ranks(); ++rank) {
      for (const Comm& comm : comms)
        expect_result(leg.buffers(rank), graph, comm, RankId(static_cast<std::uint32_t>(rank)));
    }
  }
  for (int rank = 1; rank < kRanks; ++rank)
    EXPECT_EQ(nccl.entered(rank), nccl.entered(0));
  EXPECT_EQ(nccl.counts().refused, 0);
  nccl.behaviour.looks = 0;
}

TEST(NcclFabric, GroupsThatConnectAtTheirFirstOperationNeedAnOrderOfTheirOwn) {
  constexpr int kRanks = 4;
  for (const NcclFabric::Order order : {NcclFabric::Order::across_groups, NcclFabric::Order::within_groups}) {
    FakeNccl nccl;
    CommGraph graph(kRanks);
    const Comm world = graph.add(CommKind::all_reduce, CommGraph::kWorld, Dtype::f32, 40, kRanks);
    const Comm parity = graph.add(CommKind::all_reduce, CommGraph::kParity, Dtype::f32, 40, 2);
    Leg leg(nccl, graph.graph(), kRanks, order);
    nccl.behaviour.connects = true;
    std::vector<Ticket> tickets;
    std::vector<step::FabricBackend*> fabrics;
    for (std::size_t rank = 0; rank < leg.ranks(); ++rank) {
      // One rank begins them the other way round, as it happens to the phases of different pieces.
      const bool turned = rank == 2;
      tickets.push_back(leg.start(rank, turned ? parity : world));
      tickets.push_back(leg.start(rank, turned ? world : parity));
      fabrics.insert(fabrics.end(), 2, &leg.fabric(rank));
    }
    const bool in_one_order = order == NcclFabric::Order::across_groups;
    EXPECT_THAT(finish_all(fabrics, tickets),
                testing::Each(in_one_order ? CommState::pending : CommState::done));
    EXPECT_EQ(nccl.counts().refused, 0);
    if (in_one_order)
      continue;
    for (std::size_t rank = 0; rank < leg.ranks(); ++rank) {
      expect_result(leg.buffers(rank), graph, world, RankId(static_cast<std::uint32_t>(rank)));
      expect_result(leg.buffers(rank), graph, parity, RankId(static_cast<std::uint32_t>(rank)));
    }
  }
}

TEST(NcclFabric, ARankThatNeverComesLeavesItPendingForTheDeadline) {
  FakeNccl nccl;
  CommGraph graph(2);
  const Comm comm = graph.add(CommKind::all_reduce, CommGraph::kWorld, Dtype::f32, 8, 2);
  Leg leg(nccl, graph.graph(), 2);
  const Ticket ticket = leg.start(0, comm);
  EXPECT_EQ(finish_all({&leg.fabric(0)}, {ticket}).front(), CommState::pending);
  leg.fabric(0).abandon();
  EXPECT_EQ(leg.fabric(0).left_behind(), 0U);
  EXPECT_EQ(nccl.counts().aborted, 3) << "both groups, and what they came from";
  leg.clear();
  EXPECT_EQ(nccl.counts().finalized, 3) << "of the rank that had nothing in flight";
}

TEST(NcclFabric, UnequalRanksNeverEndAndAreNotTakenForDone) {
  FakeNccl nccl;
  CommGraph graph(2);
  const Comm comm = graph.add(CommKind::all_reduce, CommGraph::kWorld, Dtype::f32, 8, 2);
  Comm shorter = comm;
  shorter.elements = 4;
  Leg leg(nccl, graph.graph(), 2);
  const Ticket first = leg.start(0, comm);
  const Ticket second = leg.start(1, shorter);
  EXPECT_THAT(finish_all({&leg.fabric(0), &leg.fabric(1)}, {first, second}),
              testing::Each(CommState::pending));
  EXPECT_EQ(nccl.counts().unequal, 1);
}

TEST(NcclFabric, AnAsynchronousErrorFailsWhatIsInFlight) {
  FakeNccl nccl;
  CommGraph graph(2);
  const Comm comm = graph.add(CommKind::all_reduce, CommGraph::kWorld, Dtype::f32, 8, 2);
  Leg leg(nccl, graph.graph(), 2);
  const Ticket ticket = leg.start(0, comm);
  EXPECT_EQ(leg.fabric(0).test(ticket), CommState::pending);
  nccl.fail_rank(0, cuda::kNcclRemoteError);
  EXPECT_EQ(leg.fabric(0).test(ticket), CommState::failed);
  EXPECT_THAT(leg.fabric(0).error_text(ticket), testing::HasSubstr("remote process exited"));
  leg.clear();
  EXPECT_EQ(nccl.counts().finalized, 3) << "the broken rank takes no leave";
  EXPECT_EQ(nccl.counts().aborted, 3);
}

TEST(NcclFabric, AnErrorWhileEnteringFailsItAndHoldsUpTheRest) {
  FakeNccl nccl;
  CommGraph graph(1);
  const Comm first = graph.add(CommKind::all_reduce, CommGraph::kWorld, Dtype::f32, 8, 1);
  const Comm second = graph.add(CommKind::all_reduce, CommGraph::kWorld, Dtype::f32, 8, 1);
  Leg leg(nccl, graph.graph(), 1);
  nccl.behaviour.call_code = cuda::kNcclInvalidArgument;
  const Ticket refused = leg.start(0, first);
  nccl.behaviour.call_code = cuda::kNcclSuccess;
  const Ticket behind = leg.start(0, second);
  EXPECT_EQ(leg.fabric(0).test(refused), CommState::failed);
  EXPECT_THAT(leg.fabric(0).error_text(refused), testing::HasSubstr("ncclAllReduce failed"));
  EXPECT_EQ(leg.fabric(0).test(behind), CommState::pending);
  EXPECT_TRUE(nccl.entered(0).empty());
}

TEST(NcclFabric, AnErrorOfTheDeviceFailsTheOperation) {
  FakeNccl nccl;
  CommGraph graph(1);
  const Comm comm = graph.add(CommKind::all_reduce, CommGraph::kWorld, Dtype::f32, 8, 1);
  Leg leg(nccl, graph.graph(), 1);
  const Ticket ticket = leg.start(0, comm);
  leg.queue(0, 0).broken = true;
  EXPECT_EQ(leg.fabric(0).test(ticket), CommState::failed);
  EXPECT_THAT(leg.fabric(0).error_text(ticket), testing::HasSubstr("cudaErrorIllegalAddress"));
}

TEST(NcclFabric, AnAbortThatNeverReturnsDoesNotHoldTheRank) {
  FakeNccl nccl;
  CommGraph graph(2);
  const Comm comm = graph.add(CommKind::all_reduce, CommGraph::kWorld, Dtype::f32, 8, 2);
  Leg leg(nccl, graph.graph(), 2);
  static_cast<void>(leg.start(0, comm));
  nccl.behaviour.abort_returns = false;
  leg.fabric(0).abandon();
  EXPECT_EQ(leg.fabric(0).left_behind(), 3U);
  leg.fabric(0).abandon();
  EXPECT_EQ(leg.fabric(0).left_behind(), 3U) << "once is enough";
}

TEST(NcclFabric, AllReducesInPhasesAreTheSameOverIt) {
  FakeNccl nccl;
  nccl.behaviour.looks = 0;
  constexpr int kRanks = 6;
  CommGraph graph(kRanks);
  graph.set_spans_sites();
  std::vector<Comm> comms;
  for (int i = 0; i < 3; ++i)
    comms.push_back(graph.add(CommKind::all_reduce, CommGraph::kWorld, Dtype::f32,
                              100 + static_cast<std::uint64_t>(i), kRanks));
  const step::RankLayout layout{{3, 3}};
  const HierarchyPlan plan = plan_hierarchy(graph.graph(), layout, {.piece_bytes = 64, .most_pieces = 4});
  ASSERT_EQ(plan.ops.size(), 3U);
  Leg leg(nccl, plan.graph, kRanks, NcclFabric::Order::within_groups);
  nccl.behaviour.looks = 1;
  nccl.behaviour.connects = true;
  std::vector<std::unique_ptr<HierarchicalFabric>> fabrics;
  std::vector<step::FabricBackend*> backends;
  std::vector<Ticket> tickets;
  for (std::size_t rank = 0; rank < kRanks; ++rank) {
    fabrics.push_back(std::make_unique<HierarchicalFabric>(plan, leg.take(rank)));
    for (const Comm& comm : comms) {
      write_input(leg.buffers(rank), graph.graph(), comm, RankId(static_cast<std::uint32_t>(rank)));
      tickets.push_back(fabrics[rank]->start(comm, graph.graph(), leg.buffers(rank)));
      backends.push_back(fabrics[rank].get());
    }
  }
  EXPECT_THAT(finish_all(backends, tickets), testing::Each(CommState::done));
  for (std::size_t rank = 0; rank < kRanks; ++rank) {
    for (const Comm& comm : comms)
      expect_result(leg.buffers(rank), graph, comm, RankId(static_cast<std::uint32_t>(rank)));
  }
  EXPECT_EQ(nccl.counts().unequal, 0);
  EXPECT_EQ(nccl.counts().refused, 0);
  nccl.behaviour.looks = 0;
}

}  // namespace
}  // namespace lockstep::fabric
