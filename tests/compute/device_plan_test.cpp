#include "harness/compute/device_plan.hpp"

#include <gmock/gmock.h>

#include "harness/core/error.hpp"
#include "tests/compute/small_graph.hpp"

namespace lockstep::compute {
namespace {

using testing::gemm_of;
using testing::product_graph;
using testing::update_graph;

constexpr std::uint64_t kMiB = 1 << 20;

DeviceLimits limits(std::uint64_t free_bytes) {
  DeviceLimits made;
  made.free_bytes = free_bytes;
  made.l2_bytes = 50 * kMiB;
  made.workspace_bytes = 32 * kMiB;
  made.reserve_bytes = 100 * kMiB;
  return made;
}

TEST(DevicePlan, AddsUpWhatIsNeeded) {
  const DevicePlan plan = plan_device(product_graph(gemm_of(1024, 1024, 1024)), limits(1024 * kMiB));
  EXPECT_EQ(plan.buffer_bytes, 12 * kMiB);
  EXPECT_EQ(plan.workspace_bytes, 32 * kMiB);
  EXPECT_EQ(plan.reserve_bytes, 100 * kMiB);
  ASSERT_EQ(plan.rotations.size(), 2U) << "A and B are read only, C is written";
  EXPECT_EQ(plan.rotations[0].copies, 7U);
  EXPECT_EQ(plan.rotation_bytes, 2 * 7 * 4 * kMiB);
  EXPECT_EQ(plan.total_bytes(), (12 + 32 + 100 + 56) * kMiB);
}

TEST(DevicePlan, BuffersAreCountedAsTheAllocatorGivesThem) {
  EXPECT_EQ(plan_device(product_graph(gemm_of(1, 1, 1)), limits(1024 * kMiB)).buffer_bytes, 3 * 256U);
}

TEST(DevicePlan, CopiesAreMadeAsFarAsThereIsRoom) {
  const step::StepGraph graph = product_graph(gemm_of(1024, 1024, 1024));
  const DevicePlan tight = plan_device(graph, limits((12 + 32 + 100 + 13) * kMiB));
  ASSERT_EQ(tight.rotations.size(), 1U);
  EXPECT_EQ(tight.rotations[0].copies, 3U);
  EXPECT_TRUE(plan_device(graph, limits((12 + 32 + 100) * kMiB)).rotations.empty());
}

TEST(DevicePlan, WhatIsLargerThanTheCacheNeedsNoCopy) {
  EXPECT_TRUE(plan_device(product_graph(gemm_of(8192, 8192, 8192)), limits(4096 * kMiB)).rotations.empty());
}

TEST(DevicePlan, RefusesWithTheFigures) {
  try {
    static_cast<void>(plan_device(product_graph(gemm_of(32768, 32768, 32768)), limits(8192 * kMiB)));
    FAIL() << "accepted";
  } catch (const InputError& error) {
    const std::string text = error.what();
    EXPECT_THAT(text, ::testing::HasSubstr("needs 12.1 GiB on each GPU, and 8.0 GiB are free"));
    EXPECT_THAT(text, ::testing::HasSubstr("activations 12.0 GiB"));
    EXPECT_THAT(text, ::testing::HasSubstr("workspace 0.0 GiB, reserve 0.1 GiB"));
  }
}

TEST(DevicePlan, AnUpdateWritesWhatItUpdates) {
  EXPECT_TRUE(only_read(update_graph()).empty());
  step::StepGraph graph = product_graph(gemm_of(2, 2, 2));
  EXPECT_THAT(only_read(graph), ::testing::ElementsAre(BufferId{0}, BufferId{1}));
  step::Op again = graph.ops[0];
  std::get<step::Gemm>(again.work).c = {BufferId{0}, 0};
  graph.ops.push_back(again);
  EXPECT_THAT(only_read(graph), ::testing::ElementsAre(BufferId{1}));
}

TEST(DevicePlan, WhatTheFabricAddsHasToFitToo) {
  const step::StepGraph graph = product_graph(gemm_of(1024, 1024, 1024));
  DeviceLimits with_fabric = limits((12 + 32 + 100 + 20) * kMiB);
  with_fabric.fabric_bytes = 20 * kMiB;
  EXPECT_TRUE(plan_device(graph, with_fabric).rotations.empty());
  with_fabric.fabric_bytes += 1;
  EXPECT_THROW(static_cast<void>(plan_device(graph, with_fabric)), InputError);
}

TEST(DevicePlan, GibHaveOneDecimal) {
  EXPECT_EQ(gib(141ULL << 30), "141.0 GiB");
  EXPECT_EQ(gib(1ULL << 29), "0.5 GiB");
}

}  // namespace
}  // namespace lockstep::compute
