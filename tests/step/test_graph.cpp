#include <gtest/gtest.h>

#include "tests/step/small_graph.hpp"

namespace lockstep::step {
namespace {

using testing_support::SmallGraph;

TEST(StepGraph, CountsFlopsAndBytes) {
  SmallGraph small({{2}}, 1024);
  const OpId gemm = small.gemm("gemm", {}, 8);
  const OpId comm = small.all_reduce("comm", {gemm});
  const StepGraph& graph = small.graph();
  graph.check();
  EXPECT_DOUBLE_EQ(graph.op(gemm).flops(), 2.0 * 8 * 8 * 8);
  EXPECT_EQ(graph.op(gemm).bytes(), 0U);
  EXPECT_EQ(graph.op(comm).bytes(), 4096U);
  EXPECT_DOUBLE_EQ(graph.flops(), 1024.0);
  EXPECT_STREQ(graph.op(comm).kind(), "all_reduce");
  EXPECT_STREQ(graph.op(gemm).kind(), "gemm");
  EXPECT_EQ(graph.comm_ops(), std::vector<OpId>{comm});
  EXPECT_EQ(graph.memory_bytes(), 5U * 4096);
}

TEST(StepGraphDeathTest, RefusesWhatCannotRun) {
  {
    SmallGraph small({{2}});
    small.gemm("first", {OpId{1}});
    small.gemm("second");
    EXPECT_DEATH(small.graph().check(), "later one");
  }
  {
    SmallGraph small({{2}}, 15);  // a 4x4 matrix needs 16
    small.gemm("gemm");
    EXPECT_DEATH(small.graph().check(), "leaves buffer");
  }
  {
    SmallGraph small({{2}});
    const OpId comm = small.all_reduce("comm");
    std::get<Comm>(small.graph().ops[comm.value()].work).group = GroupId{3};
    EXPECT_DEATH(small.graph().check(), "no such group");
  }
}

TEST(RankLayout, KnowsTheSiteOfARank) {
  const RankLayout layout{{3, 1, 2}};
  EXPECT_EQ(layout.ranks(), 6U);
  EXPECT_EQ(layout.site_of(RankId{2}), 0U);
  EXPECT_EQ(layout.site_of(RankId{3}), 1U);
  EXPECT_EQ(layout.site_of(RankId{5}), 2U);
}

TEST(Group, GivesThePartOfARank) {
  const Group group{"g", {{RankId{0}, RankId{2}}, {RankId{1}, RankId{3}}}, false};
  EXPECT_EQ(part_of(group, RankId{3}), (std::vector<RankId>{RankId{1}, RankId{3}}));
  EXPECT_DEATH((void)part_of(group, RankId{4}), "no part");
}

TEST(Dtype, HasASize) {
  EXPECT_EQ(bytes_of(Dtype::f32), 4U);
  EXPECT_EQ(bytes_of(Dtype::f64), 8U);
  EXPECT_EQ(bytes_of(Dtype::bf16), 2U);
  EXPECT_EQ(bytes_of(Dtype::f16), 2U);
}

}  // namespace
}  // namespace lockstep::step
