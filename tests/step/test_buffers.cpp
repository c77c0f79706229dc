#include <algorithm>
#include <cstring>

#include <gtest/gtest.h>

#include "harness/core/error.hpp"
#include "harness/step/backends.hpp"
#include "tests/step/small_graph.hpp"

namespace lockstep::step {
namespace {

using testing_support::SmallGraph;

TEST(BufferSet, AllocatesWhatIsNeededAndNoMore) {
  SmallGraph small({{2}});
  small.all_reduce("comm", {small.gemm("gemm")});
  BufferSet all(small.graph(), BufferSet::Need::all, RankId{0});
  BufferSet sent(small.graph(), BufferSet::Need::communicated, RankId{0});
  for (std::uint32_t i = 0; i < 5; ++i) {
    EXPECT_EQ(all.bytes(BufferId{i}).size(), 256U);
    EXPECT_EQ(sent.bytes(BufferId{i}).size(), i < 3 ? 0U : 256U);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(all.bytes(BufferId{i}).data()) % 64, 0U);
  }
}

TEST(BufferSet, HoldsRandomNumbersThatDifferByRank) {
  SmallGraph small({{2}}, 4096);
  small.all_reduce("comm");
  BufferSet first(small.graph(), BufferSet::Need::all, RankId{0});
  BufferSet again(small.graph(), BufferSet::Need::all, RankId{0});
  BufferSet other(small.graph(), BufferSet::Need::all, RankId{1});
  const auto equal = [](std::span<std::byte> a, std::span<std::byte> b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end());
  };
  EXPECT_TRUE(equal(first.bytes(BufferId{0}), again.bytes(BufferId{0})));
  EXPECT_FALSE(equal(first.bytes(BufferId{0}), other.bytes(BufferId{0})));
  const float* values = first.floats({BufferId{0}, 0});
  double sum = 0;
  for (int i = 0; i < 4096; ++i) {
    ASSERT_GE(values[i], -1.0F);
    ASSERT_LT(values[i], 1.0F);
    sum += values[i];
  }
  EXPECT_LT(std::abs(sum / 4096), 0.05);
}

TEST(BufferSet, MomentsStartAtZero) {
  StepGraph graph;
  graph.buffers.push_back({"moment", BufferRole::optimizer_state, Dtype::f32, 100});
  BufferSet buffers(graph, BufferSet::Need::all, RankId{3});
  const auto bytes = buffers.bytes(BufferId{0});
  EXPECT_TRUE(std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; }));
}

TEST(BufferSet, SaysWhichBufferDoesNotFit) {
  StepGraph graph;
  graph.buffers.push_back({"too much", BufferRole::weights, Dtype::f32, std::uint64_t{1} << 55});
  try {
    BufferSet buffers(graph, BufferSet::Need::all, RankId{0});
    FAIL();
  } catch (const RunError& error) {
    EXPECT_NE(std::string(error.what()).find("too much"), std::string::npos);
  }
}

}  // namespace
}  // namespace lockstep::step
