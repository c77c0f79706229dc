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
  EXPECT_EQ(bytes_of(Dtype::e4m3), 1U);
  EXPECT_EQ(bytes_of(Dtype::e5m2), 1U);
  EXPECT_STREQ(to_string(Dtype::e5m2), "e5m2");
}

TEST(StepGraph, AProductsOperandsHaveOneDtypeOrAreBothFp8) {
  SmallGraph small({{1}});
  auto& gemm = std::get<Gemm>(small.graph().ops[small.gemm("gemm").value()].work);
  Buffer& a = small.graph().buffers[0];
  Buffer& b = small.graph().buffers[1];
  small.graph().check();
  b.dtype = Dtype::bf16;
  EXPECT_DEATH(small.graph().check(), "unequal dtypes");
  a.dtype = Dtype::bf16;
  EXPECT_DEATH(small.graph().check(), "unequal dtypes");
  gemm.dtype = Dtype::bf16;
  small.graph().check();
  EXPECT_STREQ(gemm.precision(), "bf16");
  gemm.math = Gemm::Math::tf32;
  EXPECT_DEATH(small.graph().check(), "tf32");
  gemm.math = Gemm::Math::full;
  a.dtype = gemm.dtype = Dtype::e4m3;
  b.dtype = Dtype::e5m2;
  small.graph().check();
  a.dtype = b.dtype = gemm.dtype = Dtype::f32;
  gemm.math = Gemm::Math::tf32;
  small.graph().check();
  EXPECT_STREQ(gemm.precision(), "tf32");
}

TEST(StepGraph, AnUpdatesCopyCountsAsTraffic) {
  Update update;
  update.elements = 10;
  EXPECT_EQ(update.bytes(), 280.0);
  update.copy = BufferRef{};
  update.copy_bytes = 2;
  EXPECT_EQ(update.bytes(), 300.0);
}

}  // namespace
}  // namespace lockstep::step
