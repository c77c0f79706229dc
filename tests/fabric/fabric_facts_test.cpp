#include "harness/fabric/fabric_facts.hpp"

#include <algorithm>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "harness/core/error.hpp"
#include "harness/fabric/make_fabric.hpp"
#include "tests/fabric/fabric_fixture.hpp"
#include "tests/fabric/fake_device.hpp"

namespace lockstep::fabric {
namespace {

using testing::HasSubstr;

std::string value_of(const FabricFacts& facts, const std::string& key) {
  const auto found = std::find_if(facts.details.begin(), facts.details.end(),
                                  [&](const Fact& fact) { return fact.key == key; });
  return found == facts.details.end() ? "not there" : found->value;
}

TEST(FabricFacts, OfMpiThereIsTheNameAlone) {
  const FabricFacts facts = describe_fabric({}, {}, {}, "no");
  EXPECT_EQ(facts.description, "mpi");
  EXPECT_TRUE(facts.details.empty());
}

TEST(FabricFacts, OfNcclThereIsWhatSteersIt) {
  plan::Fabric fabric;
  fabric.backend = plan::FabricBackend::nccl;
  fabric.nccl_ctas = 8;
  const NcclState nccl{"2.28.9", "/opt/libnccl.so.2", {{"NCCL_ALGO", "Ring", "environment"}}};
  const FabricFacts facts = describe_fabric(fabric, {}, nccl, "no");
  EXPECT_EQ(facts.description, "nccl");
  EXPECT_EQ(value_of(facts, "nccl.version"), "2.28.9");
  EXPECT_EQ(value_of(facts, "nccl.library"), "/opt/libnccl.so.2");
  EXPECT_EQ(value_of(facts, "nccl.setting.NCCL_ALGO"), "Ring (environment)");
  EXPECT_EQ(value_of(facts, "nccl.most_ctas"), "8");
  EXPECT_THAT(value_of(facts, "nccl.tuning"), HasSubstr("NCCL_ALGO=Ring"));
  EXPECT_THAT(value_of(facts, "nccl.transport"), HasSubstr("left to NCCL"));
  EXPECT_EQ(value_of(facts, "fabric.mpi_cuda_support"), "not there");
}

TEST(FabricFacts, OfMpiWithDeviceMemoryThereIsWhetherTheLibraryTakesIt) {
  plan::Fabric fabric;
  fabric.backend = plan::FabricBackend::host_staged;
  const FabricFacts facts = describe_fabric(fabric, {}, {}, "unknown");
  EXPECT_EQ(facts.description, "host-staged");
  EXPECT_EQ(value_of(facts, "fabric.mpi_cuda_support"), "unknown");
}

TEST(FabricFacts, AHierarchyIsTold) {
  CommGraph graph(4);
  graph.set_spans_sites();
  graph.add(step::CommKind::all_reduce, CommGraph::kWorld, step::Dtype::f32, 100, 4);
  plan::Fabric fabric;
  fabric.all_reduce = plan::AllReduce::hierarchical;
  const FabricFacts two = describe_fabric(fabric, lay_out(fabric, graph.graph(), {{2, 2}}), {}, "no");
  EXPECT_EQ(two.description, "mpi, hierarchical");
  EXPECT_EQ(value_of(two, "fabric.hierarchical"), "1 all-reduces in 1 pieces");
  const FabricFacts unequal = describe_fabric(fabric, lay_out(fabric, graph.graph(), {{3, 1}}), {}, "no");
  EXPECT_EQ(unequal.description, "mpi") << "what runs, not what was asked for";
  EXPECT_THAT(value_of(unequal, "fabric.left_flat"), HasSubstr("unequal numbers of ranks"));
}

TEST(FabricFacts, ThisProcessAnswersForEveryBackend) {
  for (const plan::FabricBackend backend :
       {plan::FabricBackend::mpi, plan::FabricBackend::nccl, plan::FabricBackend::cuda_aware,
        plan::FabricBackend::host_staged}) {
    plan::Fabric fabric;
    fabric.backend = backend;
    EXPECT_EQ(describe_fabric(fabric, {}).description, to_string(backend));
  }
}

TEST(NcclObstacle, IsWhatWouldTakeTheDeadlinesAway) {
  EXPECT_EQ(nccl_obstacle({}, "", true), "");
  EXPECT_EQ(nccl_obstacle({{"NCCL_COMM_BLOCKING", "0", ""}}, "", true), "");
  EXPECT_THAT(nccl_obstacle({{"NCCL_COMM_BLOCKING", "1", ""}}, "", false), HasSubstr("unset it"));
}

TEST(NcclObstacle, IsOneHardwareQueueForConcurrentCommunicators) {
  EXPECT_EQ(nccl_obstacle({}, "1", false), "");
  EXPECT_EQ(nccl_obstacle({}, "32", true), "");
  EXPECT_THAT(nccl_obstacle({}, "1", true), HasSubstr("CUDA_DEVICE_MAX_CONNECTIONS=1"));
}

TEST(MemoryFor, IsWhereTheFabricSendsFrom) {
  FakeDeviceMemory device;
  FakeDeviceMemory other;
  plan::Fabric fabric;
  EXPECT_EQ(&memory_for(fabric, step::host_memory(), nullptr), &step::host_memory());
  EXPECT_THROW(static_cast<void>(memory_for(fabric, device, nullptr)), InputError);
  fabric.backend = plan::FabricBackend::nccl;
  EXPECT_EQ(&memory_for(fabric, device, &other), &device);
  EXPECT_EQ(&memory_for(fabric, step::host_memory(), &other), &other) << "paced compute has none there";
}

TEST(NeedsGpu, AllButMpi) {
  EXPECT_FALSE(plan::sends_from_gpu(plan::FabricBackend::mpi));
  EXPECT_TRUE(plan::sends_from_gpu(plan::FabricBackend::nccl));
  EXPECT_TRUE(plan::sends_from_gpu(plan::FabricBackend::cuda_aware));
  EXPECT_TRUE(plan::sends_from_gpu(plan::FabricBackend::host_staged));
}

}  // namespace
}  // namespace lockstep::fabric
