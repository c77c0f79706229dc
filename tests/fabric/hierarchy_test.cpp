#include "harness/fabric/hierarchy.hpp"

#include <algorithm>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "harness/core/hash.hpp"
#include "tests/fabric/fabric_fixture.hpp"

namespace lockstep::fabric {
namespace {

using step::Comm;
using step::CommKind;
using step::Dtype;
using step::RankLayout;
using testing::ElementsAre;
using testing::HasSubstr;

std::vector<RankId> ranks(std::initializer_list<std::uint32_t> values) {
  std::vector<RankId> made;
  for (const std::uint32_t value : values)
    made.emplace_back(value);
  return made;
}

CommGraph world_of(int count) {
  CommGraph graph(count);
  graph.set_spans_sites();
  return graph;
}

TEST(Hierarchy, CutsAnAllReduceBetweenSitesInThreePhases) {
  CommGraph graph = world_of(6);
  const Comm comm = graph.add(CommKind::all_reduce, CommGraph::kWorld, Dtype::f32, 60, 6);
  const HierarchyPlan plan = plan_hierarchy(graph.graph(), RankLayout{{3, 3}});
  ASSERT_EQ(plan.ops.size(), 1U);
  const HierarchicalOp& op = plan.ops[0];
  ASSERT_EQ(op.pieces.size(), 1U);
  EXPECT_FALSE(op.rest);
  EXPECT_TRUE(plan.left_flat.empty());
  const HierarchicalOp::Piece& piece = op.pieces[0];
  EXPECT_EQ(piece.reduce_scatter.elements, 60U);
  EXPECT_EQ(piece.all_reduce.elements, 20U);
  EXPECT_EQ(piece.all_gather.elements, 60U);
  EXPECT_EQ(piece.reduce_scatter.from.buffer, comm.from.buffer);
  EXPECT_EQ(piece.reduce_scatter.to.buffer, piece.all_reduce.from.buffer);
  EXPECT_EQ(piece.all_reduce.to.buffer, piece.all_gather.from.buffer);
  EXPECT_EQ(piece.all_gather.to.buffer, comm.to.buffer);
  const step::Group& scatter = plan.graph.group(piece.reduce_scatter.group);
  const step::Group& across = plan.graph.group(piece.all_reduce.group);
  const step::Group& gather = plan.graph.group(piece.all_gather.group);
  EXPECT_THAT(scatter.parts, ElementsAre(ranks({0, 1, 2}), ranks({3, 4, 5})));
  EXPECT_THAT(across.parts, ElementsAre(ranks({0, 3}), ranks({1, 4}), ranks({2, 5})));
  EXPECT_EQ(gather.parts, scatter.parts);
  EXPECT_NE(piece.all_gather.group, piece.reduce_scatter.group) << "each phase has a communicator of its own";
  EXPECT_TRUE(across.spans_sites);
  EXPECT_FALSE(scatter.spans_sites);
}

TEST(Hierarchy, LeavesTheGraphAsItIsAndAddsBehindIt) {
  CommGraph graph = world_of(4);
  graph.add(CommKind::all_gather, CommGraph::kWorld, Dtype::f32, 8, 4);
  graph.add(CommKind::all_reduce, CommGraph::kWorld, Dtype::f32, 8, 4);
  const HierarchyPlan plan = plan_hierarchy(graph.graph(), RankLayout{{2, 2}});
  for (std::size_t i = 0; i < graph.graph().ops.size(); ++i)
    EXPECT_EQ(plan.graph.ops[i].name, graph.graph().ops[i].name);
  for (std::size_t i = 0; i < graph.graph().buffers.size(); ++i)
    EXPECT_EQ(plan.graph.buffers[i].name, graph.graph().buffers[i].name);
  EXPECT_EQ(plan.ops.size(), 1U);
  EXPECT_EQ(plan.graph.ops.size(), graph.graph().ops.size() + 3);
}

TEST(Hierarchy, PiecesAndRestTogetherAreTheWhole) {
  for (const std::uint64_t elements : {1U, 2U, 5U, 6U, 7U, 100U, 1001U}) {
    CommGraph graph = world_of(6);
    const Comm comm = graph.add(CommKind::all_reduce, CommGraph::kWorld, Dtype::f32, elements, 6);
    const HierarchyPlan plan =
        plan_hierarchy(graph.graph(), RankLayout{{3, 3}}, {.piece_bytes = 40, .most_pieces = 7});
    ASSERT_EQ(plan.ops.size(), 1U);
    std::uint64_t next = 0;
    for (const HierarchicalOp::Piece& piece : plan.ops[0].pieces) {
      EXPECT_EQ(piece.reduce_scatter.from.offset, next);
      EXPECT_EQ(piece.all_gather.to.offset, next);
      EXPECT_EQ(piece.reduce_scatter.elements % 3, 0U);
      EXPECT_GT(piece.reduce_scatter.elements, 0U);
      next += piece.reduce_scatter.elements;
    }
    EXPECT_LE(plan.ops[0].pieces.size(), 7U);
    if (plan.ops[0].rest) {
      EXPECT_EQ(plan.ops[0].rest->from.offset, next);
      EXPECT_EQ(plan.ops[0].rest->group, comm.group);
      next += plan.ops[0].rest->elements;
    }
    EXPECT_EQ(next, elements);
  }
}

TEST(Hierarchy, SaysWhyAGroupStaysFlat) {
  const auto why = [](int count, const RankLayout& layout) {
    CommGraph graph = world_of(count);
    graph.add(CommKind::all_reduce, CommGraph::kWorld, Dtype::f32, 60, static_cast<std::uint64_t>(count));
    graph.add(CommKind::all_reduce, CommGraph::kWorld, Dtype::f32, 60, static_cast<std::uint64_t>(count));
    const HierarchyPlan plan = plan_hierarchy(graph.graph(), layout);
    EXPECT_TRUE(plan.ops.empty());
    EXPECT_EQ(plan.left_flat.size(), 1U) << "once for a group, however many ops it has";
    return plan.left_flat.empty() ? std::string() : plan.left_flat[0];
  };
  EXPECT_EQ(why(5, RankLayout{{3, 2}}), "world: its sites have unequal numbers of ranks (3 and 2)");
  EXPECT_EQ(why(2, RankLayout{{1, 1}}), "world: it has one rank at each site");
  EXPECT_EQ(why(4, RankLayout{{4}}), "world: some of its parts are inside one site");
}

TEST(Hierarchy, TakesOnlyAllReducesBetweenSites) {
  CommGraph inside(4);
  inside.add(CommKind::all_reduce, CommGraph::kWorld, Dtype::f32, 60, 4);
  EXPECT_TRUE(plan_hierarchy(inside.graph(), RankLayout{{2, 2}}).ops.empty());
  CommGraph others = world_of(4);
  for (const CommKind kind : {CommKind::reduce_scatter, CommKind::all_gather, CommKind::all_to_all,
                              CommKind::broadcast, CommKind::send_recv})
    others.add(kind, CommGraph::kWorld, Dtype::f32, 60, 4);
  EXPECT_TRUE(plan_hierarchy(others.graph(), RankLayout{{2, 2}}).ops.empty());
}

TEST(Hierarchy, GroupsOfSeveralPartsAreCutInEach) {
  // Ranks of equal parity, listed backwards: 2, 0 and 3, 1 with sites {0, 1} and {2, 3} have one rank each.
  CommGraph graph = world_of(8);
  graph.add(CommKind::all_reduce, CommGraph::kParity, Dtype::f32, 60, 4);
  const HierarchyPlan plan = plan_hierarchy(graph.graph(), RankLayout{{4, 4}});
  ASSERT_EQ(plan.ops.size(), 1U);
  const HierarchicalOp::Piece& piece = plan.ops[0].pieces[0];
  EXPECT_THAT(plan.graph.group(piece.reduce_scatter.group).parts,
              ElementsAre(ranks({6, 4}), ranks({2, 0}), ranks({7, 5}), ranks({3, 1})));
  EXPECT_THAT(plan.graph.group(piece.all_reduce.group).parts,
              ElementsAre(ranks({6, 2}), ranks({4, 0}), ranks({7, 3}), ranks({5, 1})));
}

TEST(PhaseOrder, APieceWaitsForThoseBeforeItInEachPhase) {
  PhaseOrder order(3);
  for (std::size_t i = 0; i < 3; ++i)
    EXPECT_EQ(order.add(), i);
  order.done(1, 0);
  EXPECT_EQ(order.start_next(1), std::nullopt) << "piece 0 has not ended its first phase";
  order.done(0, 0);
  EXPECT_EQ(order.start_next(1), 0U);
  EXPECT_EQ(order.start_next(1), 1U);
  EXPECT_EQ(order.start_next(1), std::nullopt);
  order.done(1, 1);
  EXPECT_EQ(order.start_next(2), std::nullopt);
  order.done(0, 1);
  EXPECT_EQ(order.start_next(2), 0U);
  EXPECT_EQ(order.start_next(2), 1U);
}

TEST(PhaseOrder, EndsAreInAnyOrderAndStartsAlwaysInOne) {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    constexpr std::size_t kPieces = 6;
    PhaseOrder order(kPieces);
    std::uint64_t random = mix64(seed + 1);
    for (int round = 0; round < 2; ++round) {
      std::vector<std::pair<std::size_t, std::size_t>> running;  // piece, phase
      std::vector<std::size_t> started[PhaseOrder::kPhases];
      for (std::size_t i = 0; i < kPieces; ++i) {
        running.emplace_back(order.add(), 0);
        started[0].push_back(i);
      }
      while (!running.empty()) {
        random = mix64(random);
        const auto chosen = running.begin() + static_cast<std::ptrdiff_t>(random % running.size());
        const auto [piece, phase] = *chosen;
        running.erase(chosen);
        order.done(piece, phase);
        for (std::size_t next = 1; next < PhaseOrder::kPhases; ++next) {
          while (const auto may = order.start_next(next)) {
            started[next].push_back(*may);
            running.emplace_back(*may, next);
          }
        }
      }
      for (const auto& starts : started)
        EXPECT_EQ(starts, started[0]);
      EXPECT_TRUE(order.idle()) << "and it can be used again";
    }
  }
}

}  // namespace
}  // namespace lockstep::fabric
