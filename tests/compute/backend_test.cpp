#include "harness/compute/backend.hpp"

#include <algorithm>
#include <cstdlib>

#include <gmock/gmock.h>

#include "harness/compute/cuda_backend.hpp"
#include "harness/core/error.hpp"
#include "tests/compute/small_graph.hpp"
#include "tests/compute/temporary_folder.hpp"

namespace lockstep::compute {
namespace {

using testing::gemm_of;
using ::testing::HasSubstr;
using testing::product_graph;
using ::testing::StartsWith;

std::string detail(const ComputeFacts& facts, const std::string& key) {
  const auto found = std::find_if(facts.details.begin(), facts.details.end(),
                                  [&key](const Fact& fact) { return fact.key == key; });
  return found != facts.details.end() ? found->value : "(none)";
}

TEST(MakeComputeBackend, Paced) {
  plan::Compute compute;
  compute.backend = plan::ComputeBackend::paced;
  compute.paced_gflops = 40.0;
  compute.paced_memory_gbps = 8.0;
  const ComputeSetup setup = make_compute_backend(compute, product_graph(gemm_of(4, 4, 4)));
  EXPECT_EQ(setup.facts.description, "paced 40 GFLOP/s 8 GB/s");
  EXPECT_EQ(setup.facts.peak_gflops, 0.0);
  EXPECT_EQ(detail(setup.facts, "compute.paced_gflops"), "40");
  EXPECT_EQ(detail(setup.facts, "compute.paced_memory_gbps"), "8");
}

TEST(MakeComputeBackend, CpuWithTheKernelThatWasMeasuredFastest) {
  const testing::TemporaryFolder cache;
  ::setenv("XDG_CACHE_HOME", cache.path().c_str(), 1);
  ::setenv("LOCKSTEP_GEMM_PROBE", GEMM_PROBE, 1);
  const step::StepGraph graph = product_graph(gemm_of(4, 4, 4));
  const ComputeSetup setup = make_compute_backend(plan::Compute{}, graph);
  EXPECT_THAT(setup.facts.description, StartsWith("cpu "));
  EXPECT_EQ(setup.facts.description, "cpu " + detail(setup.facts, "compute.kernel"));
  EXPECT_GT(setup.facts.peak_gflops, 0.0);
  EXPECT_NE(detail(setup.facts, "compute.kernel.library"), "(none)");
  EXPECT_NE(detail(setup.facts, "compute.kernel.basis"), "(none)");
  EXPECT_NE(detail(setup.facts, "compute.peak_gflops"), "(none)");
  step::BufferSet buffers(graph, setup.backend->buffers_needed(), RankId{0});
  setup.backend->run(graph.ops[0], buffers, 0);
}

TEST(MakeComputeBackend, CudaWhereThereIsNoneIsRefusedWithAWayOut) {
  if (why_no_cuda(0).empty())
    GTEST_SKIP() << "this machine has a GPU";
  plan::Compute compute;
  compute.backend = plan::ComputeBackend::cuda;
  try {
    static_cast<void>(make_compute_backend(compute, product_graph(gemm_of(4, 4, 4))));
    FAIL() << "accepted";
  } catch (const InputError& error) {
    EXPECT_THAT(error.what(), HasSubstr("cannot be used here (" + why_no_cuda(0)));
    EXPECT_THAT(error.what(), HasSubstr("use \"cpu\" or \"paced\""));
  }
}

TEST(MakeComputeBackend, CudaMultipliesWhereThereIsAGpu) {
  if (const std::string reason = why_no_cuda(0); !reason.empty())
    GTEST_SKIP() << reason;
  plan::Compute compute;
  compute.backend = plan::ComputeBackend::cuda;
  const testing::TemporaryFolder cache;
  ::setenv("XDG_CACHE_HOME", cache.path().c_str(), 1);
  const step::StepGraph graph = product_graph(gemm_of(512, 256, 128));
  const ComputeSetup setup = make_compute_backend(compute, graph);
  step::BufferSet buffers(graph, setup.backend->buffers_needed(), RankId{0}, setup.backend->memory());
  setup.backend->prepare(buffers);
  step::ComputeQueue& queue = *setup.backend->queue();
  queue.begin_step();
  const std::vector<OpId> ops = {OpId{0}};
  queue.submit(ops, buffers);
  while (queue.completed() < 1) {
  }
  EXPECT_GT(queue.times()[0].end_ns, queue.times()[0].begin_ns);
  EXPECT_TRUE(setup.backend->check_products(0, buffers).empty());
  EXPECT_GT(setup.facts.peak_gflops, 0.0);
}

TEST(MakeComputeBackend, AnUnknownKernelIsRefused) {
  plan::Compute compute;
  compute.kernel = "magic";
  EXPECT_THROW(static_cast<void>(choose_compute(compute)), InputError);
}

}  // namespace
}  // namespace lockstep::compute
