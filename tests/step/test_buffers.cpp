#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <set>
#include <span>
#include <vector>

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

/// Memory that the host may not follow, with a limit.
class FarMemory final : public Memory {
 public:
  std::byte* allocate(std::uint64_t bytes) override {
    if (held.size() == most)
      return nullptr;
    auto* memory = static_cast<std::byte*>(std::aligned_alloc(64, bytes));
    held.insert(memory);
    return memory;
  }
  void free(std::byte* memory) noexcept override {
    held.erase(memory);
    std::free(memory);
  }
  void write(std::byte* to, std::span<const std::byte> from) override {
    written += from.size();
    std::copy(from.begin(), from.end(), to);
  }
  void read(const std::byte* from, std::span<std::byte> to) override {
    std::copy_n(from, to.size(), to.begin());
  }
  void copy(std::byte* to, const std::byte* from, std::uint64_t bytes) override {
    std::memcpy(to, from, bytes);
  }
  void clear(std::byte* to, std::uint64_t bytes) override { std::memset(to, 0, bytes); }
  bool on_host() const override { return false; }
  std::set<std::byte*> held;
  std::size_t most = 100;
  std::uint64_t written = 0;
};

TEST(BufferSet, FarMemoryIsFilledWithOneRandomStretchOverAndOver) {
  constexpr std::uint64_t kTile = 16 << 20;
  StepGraph graph;
  graph.buffers.push_back({"large", BufferRole::weights, Dtype::e4m3, 2 * kTile + 1000});
  graph.buffers.push_back({"moment", BufferRole::optimizer_state, Dtype::f32, 100});
  FarMemory memory;
  {
    BufferSet buffers(graph, BufferSet::Need::all, RankId{0}, memory);
    EXPECT_EQ(memory.held.size(), 2U);
    EXPECT_EQ(memory.written, kTile);
    std::vector<std::byte> values(graph.buffers[0].bytes());
    buffers.read(buffers.bytes(BufferId{0}).data(), values);
    EXPECT_TRUE(std::equal(values.begin(), values.begin() + 1000, values.begin() + kTile));
    EXPECT_TRUE(std::equal(values.begin(), values.begin() + 1000, values.begin() + 2 * kTile));
    EXPECT_FALSE(std::equal(values.begin(), values.begin() + 1000, values.begin() + 1000));
    std::vector<std::byte> moments(400, std::byte{1});
    buffers.read(buffers.bytes(BufferId{1}).data(), moments);
    EXPECT_TRUE(std::all_of(moments.begin(), moments.end(), [](std::byte b) { return b == std::byte{0}; }));
  }
  EXPECT_TRUE(memory.held.empty());
  memory.most = 1;
  EXPECT_THROW(BufferSet(graph, BufferSet::Need::all, RankId{0}, memory), RunError);
  EXPECT_TRUE(memory.held.empty()) << "what was there before the failure is given back";
}

TEST(BufferSet, Fp8BuffersHoldFiniteNumbersBelowOne) {
  StepGraph graph;
  graph.buffers.push_back({"e4m3", BufferRole::weights, Dtype::e4m3, 4096});
  graph.buffers.push_back({"e5m2", BufferRole::weights, Dtype::e5m2, 4096});
  BufferSet buffers(graph, BufferSet::Need::all, RankId{0});
  for (const std::uint32_t i : {0U, 1U}) {
    const unsigned one = i == 0 ? 0x38U : 0x3cU;  // the code of 1.0
    std::set<std::byte> different;
    for (const std::byte code : buffers.bytes(BufferId{i})) {
      EXPECT_LT(static_cast<unsigned>(code) & 0x7fU, one);
      EXPECT_GE(static_cast<unsigned>(code) & 0x7fU, one - (i == 0 ? 4U << 3 : 4U << 2)) << "at least 1/16";
      different.insert(code);
    }
    EXPECT_EQ(different.size(), i == 0 ? 64U : 32U) << "two signs, four exponents, every fraction";
  }
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
