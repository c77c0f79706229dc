#include "harness/compute/cuda_backend.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <vector>

#include <gmock/gmock.h>

#include "harness/compute/adam_update.hpp"
#include "harness/compute/cuda_checks.hpp"
#include "harness/compute/cuda_products.hpp"
#include "harness/compute/gemm_checksum.hpp"
#include "harness/core/clock.hpp"
#include "harness/core/error.hpp"
#include "harness/core/hash.hpp"
#include "harness/plan/plan.hpp"
#include "tests/compute/small_graph.hpp"
#include "tests/compute/temporary_folder.hpp"
#include "tests/cuda/fake_device.hpp"
#include "workloads/transformer.hpp"

// The backend over a device in host memory and a cuBLASLt that computes on the host: every number here went
// through the code that a GPU would see.
namespace lockstep::compute {
namespace {

using cuda::testing::fake_device;
using step::BufferSet;
using step::Dtype;
using step::Gemm;
using testing::gemm_of;
using ::testing::HasSubstr;
using testing::product_graph;
using testing::update_graph;
using Layout = Gemm::Layout;

class CudaBackendTest : public ::testing::Test {
 protected:
  CudaBackendTest() { fake_device() = {}; }

  CudaOptions options() const {
    CudaOptions made;
    made.search_budget_s = 0.01;
    made.capture = CaptureMode::off;
    return made;
  }
};

std::string detail(const ComputeFacts& facts, const std::string& key) {
  const auto found = std::find_if(facts.details.begin(), facts.details.end(),
                                  [&key](const Fact& fact) { return fact.key == key; });
  return found != facts.details.end() ? found->value : "(none)";
}

std::vector<float> numbers(const step::StepGraph& graph, BufferSet& buffers, BufferId id) {
  const step::Buffer& buffer = graph.buffer(id);
  std::vector<std::byte> codes(buffer.bytes());
  buffers.read(buffers.bytes(id).data(), codes);
  std::vector<float> values(buffer.elements);
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = decode(codes.data() + i * bytes_of(buffer.dtype), buffer.dtype);
  return values;
}

/// Small integers where the format holds them exactly.
void fill_integers(const step::StepGraph& graph, BufferSet& buffers, BufferId id, std::uint64_t seed) {
  const step::Buffer& buffer = graph.buffer(id);
  std::vector<float> values(buffer.elements);
  for (std::uint64_t i = 0; i < values.size(); ++i)
    values[i] = static_cast<float>(static_cast<int>(mix64(seed + i) % 5) - 2);
  buffers.write(buffers.bytes(id).data(), encode(values, buffer.dtype));
}

step::StepGraph typed_graph(Gemm gemm, Dtype a, Dtype b, Dtype c) {
  gemm.dtype = a;
  step::StepGraph graph = product_graph(gemm);
  graph.buffers[0].dtype = a;
  graph.buffers[1].dtype = b;
  graph.buffers[2].dtype = c;
  graph.check();
  return graph;
}

TEST_F(CudaBackendTest, MultipliesInEveryFormatAndLayout) {
  struct Case {
    Dtype a, b, c;
  };
  for (const Case& types :
       {Case{Dtype::f32, Dtype::f32, Dtype::f32}, Case{Dtype::bf16, Dtype::bf16, Dtype::bf16},
        Case{Dtype::bf16, Dtype::bf16, Dtype::f32}, Case{Dtype::f16, Dtype::f16, Dtype::f16},
        Case{Dtype::e4m3, Dtype::e4m3, Dtype::bf16}, Case{Dtype::e4m3, Dtype::e5m2, Dtype::f32}}) {
    for (const Layout layout : {Layout::nn, Layout::nt, Layout::tn}) {
      if (is_fp8(types.a) && layout != Layout::nt)
        continue;
      for (const bool accumulate : {false, true}) {
        Gemm gemm = is_fp8(types.a) ? gemm_of(16, 32, 16) : gemm_of(5, 7, 11);
        gemm.batch = is_fp8(types.a) ? 1 : 2;
        gemm.layout = layout;
        gemm.accumulate = accumulate;
        const step::StepGraph graph = typed_graph(gemm, types.a, types.b, types.c);
        ComputeFacts facts;
        const auto backend = make_cuda_backend(graph, options(), facts);
        BufferSet buffers(graph, BufferSet::Need::all, RankId{0}, backend->memory());
        for (const std::uint32_t id : {0U, 1U, 2U})
          fill_integers(graph, buffers, BufferId{id}, id);
        backend->prepare(buffers);
        const std::vector<float> a = numbers(graph, buffers, BufferId{0});
        const std::vector<float> b = numbers(graph, buffers, BufferId{1});
        const std::vector<float> before = numbers(graph, buffers, BufferId{2});
        backend->run(graph.ops[0], buffers, 0);
        const std::vector<float> after = numbers(graph, buffers, BufferId{2});
        for (std::uint64_t i = 0; i < gemm.batch; ++i) {
          for (std::uint64_t row = 0; row < gemm.m; ++row) {
            for (std::uint64_t column = 0; column < gemm.n; ++column) {
              const std::uint64_t at = i * gemm.m * gemm.n + row * gemm.n + column;
              float sum = accumulate ? before[at] : 0.0F;
              for (std::uint64_t l = 0; l < gemm.k; ++l)
                sum += a[i * gemm.m * gemm.k + (layout == Layout::tn ? l * gemm.m + row : row * gemm.k + l)] *
                       b[i * gemm.k * gemm.n +
                         (layout == Layout::nt ? column * gemm.k + l : l * gemm.n + column)];
              ASSERT_EQ(after[at], sum) << to_string(types.a) << " " << to_string(types.c) << " layout "
                                        << static_cast<int>(layout) << " at " << at;
            }
          }
        }
      }
    }
  }
}

TEST_F(CudaBackendTest, UpdatesAsTheCpuDoesAndWritesTheCopy) {
  step::StepGraph graph = update_graph();
  graph.buffers.push_back(testing::buffer("copy", 8, step::BufferRole::weights));
  graph.buffers.back().dtype = Dtype::bf16;
  auto& update = std::get<step::Update>(graph.ops[0].work);
  update.copy = step::BufferRef{BufferId{5}, 0};
  update.copy_bytes = 2;
  graph.check();
  ComputeFacts facts;
  const auto backend = make_cuda_backend(graph, options(), facts);
  BufferSet buffers(graph, BufferSet::Need::all, RankId{0}, backend->memory());
  std::vector<float> gradients = numbers(graph, buffers, BufferId{0});
  const std::vector<float> more = numbers(graph, buffers, BufferId{1});
  gradients.insert(gradients.end(), more.begin(), more.end());
  std::vector<float> p = numbers(graph, buffers, BufferId{2});
  std::vector<float> m(8, 0.0F);
  std::vector<float> v(8, 0.0F);
  adam_update({}, 8, gradients.data(), p.data(), m.data(), v.data());
  backend->run(graph.ops[0], buffers, 0);
  for (std::size_t i = 0; i < 8; ++i) {
    EXPECT_NEAR(numbers(graph, buffers, BufferId{2})[i], p[i], 1e-9F);
    EXPECT_NEAR(numbers(graph, buffers, BufferId{3})[i], m[i], 1e-7F);
    EXPECT_NEAR(numbers(graph, buffers, BufferId{4})[i], v[i], 1e-9F);
    EXPECT_NEAR(numbers(graph, buffers, BufferId{5})[i], p[i], std::abs(p[i]) / 256.0F);
  }
}

TEST_F(CudaBackendTest, WhatDoesNotFitIsRefusedBeforeAnythingIsAllocated) {
  fake_device().memory_bytes = std::uint64_t{3} << 29;
  ComputeFacts facts;
  const step::StepGraph graph = product_graph(gemm_of(16384, 16384, 16));
  EXPECT_THROW(static_cast<void>(make_cuda_backend(graph, options(), facts)), InputError);
  EXPECT_LT(fake_device().most_bytes, 1U << 20);
  EXPECT_EQ(fake_device().used_bytes, 0U);
}

TEST_F(CudaBackendTest, EverythingIsGivenBack) {
  {
    const step::StepGraph graph = product_graph(gemm_of(8, 8, 8));
    ComputeFacts facts;
    const auto backend = make_cuda_backend(graph, options(), facts);
    BufferSet buffers(graph, BufferSet::Need::all, RankId{0}, backend->memory());
    backend->prepare(buffers);
    backend->run(graph.ops[0], buffers, 0);
    EXPECT_GT(fake_device().used_bytes, 0U);
  }
  EXPECT_EQ(fake_device().used_bytes, 0U);
}

TEST_F(CudaBackendTest, WhatTheCardCannotMultiplyIsRefusedByName) {
  Gemm gemm = gemm_of(5, 7, 11);
  gemm.layout = Layout::nt;
  ComputeFacts facts;
  try {
    static_cast<void>(
        make_cuda_backend(typed_graph(gemm, Dtype::e4m3, Dtype::e4m3, Dtype::bf16), options(), facts));
    FAIL() << "accepted";
  } catch (const InputError& error) {
    EXPECT_THAT(error.what(), HasSubstr("op product cannot run on a GPU"));
    EXPECT_THAT(error.what(), HasSubstr("multiple of 16"));
  }
  EXPECT_THROW(static_cast<void>(make_cuda_backend(
                   typed_graph(gemm_of(2, 2, 2), Dtype::f64, Dtype::f64, Dtype::f64), options(), facts)),
               InputError);
}

TEST_F(CudaBackendTest, TheSecondRunKnowsTheAlgorithmsOfTheFirst) {
  const testing::TemporaryFolder folder;
  CudaOptions remembering = options();
  remembering.cache_folder = folder.path();
  const step::StepGraph graph = product_graph(gemm_of(8, 8, 8));
  ComputeFacts first;
  static_cast<void>(make_cuda_backend(graph, remembering, first));
  ComputeFacts second;
  static_cast<void>(make_cuda_backend(graph, remembering, second));
  EXPECT_THAT(detail(first, "compute.product.nn.8x8x8.f32.f32.f32.a256"), ::testing::EndsWith("searched"));
  EXPECT_THAT(detail(second, "compute.product.nn.8x8x8.f32.f32.f32.a256"), ::testing::EndsWith("cached"));
  EXPECT_GT(first.peak_gflops, 0.0);
  EXPECT_DOUBLE_EQ(first.peak_gflops, second.peak_gflops);
  EXPECT_EQ(detail(first, "compute.card"), "Fake GPU");
}

TEST_F(CudaBackendTest, OperandsThatNothingWritesAreTakenInTurns) {
  step::StepGraph graph = product_graph(gemm_of(8, 8, 8));
  for (int i = 1; i < 6; ++i) {
    graph.ops.push_back(graph.ops[0]);
    graph.ops.back().name += std::to_string(i);
  }
  fake_device().l2_bytes = 512;  // 2 * 512 / 256: four copies of each operand
  ComputeFacts facts;
  const auto backend = make_cuda_backend(graph, options(), facts);
  BufferSet buffers(graph, BufferSet::Need::all, RankId{0}, backend->memory());
  backend->prepare(buffers);
  backend->run(graph.ops[0], buffers, 0);
  const std::vector<float> expected = numbers(graph, buffers, BufferId{2});
  // The original is spoilt; only ops whose turn is a copy still find the right operand.
  const std::vector<float> zeros(64, 0.0F);
  buffers.write(buffers.bytes(BufferId{0}).data(), std::as_bytes(std::span(zeros)));
  for (std::size_t i = 0; i < graph.ops.size(); ++i) {
    backend->run(graph.ops[i], buffers, 0);
    EXPECT_EQ(numbers(graph, buffers, BufferId{2}) == expected, i % 5 != 0) << i;
  }
}

/// One weight's gradient over two micro-batches, and the product of a forward pass.
step::StepGraph training_graph(Dtype dtype) {
  Gemm gemm = gemm_of(24, 40, 32);
  gemm.layout = Layout::tn;
  step::StepGraph graph = typed_graph(gemm, dtype, dtype, Dtype::f32);
  graph.ops.push_back(graph.ops[0]);
  graph.ops.back().name = "second";
  std::get<Gemm>(graph.ops.back().work).accumulate = true;
  return graph;
}

TEST_F(CudaBackendTest, CorrectProductsPassTheCheck) {
  for (const Dtype dtype : {Dtype::f32, Dtype::bf16, Dtype::f16}) {
    const step::StepGraph graph = training_graph(dtype);
    ComputeFacts facts;
    const auto backend = make_cuda_backend(graph, options(), facts);
    EXPECT_EQ(detail(facts, "compute.checked_products"), "1");
    BufferSet buffers(graph, BufferSet::Need::all, RankId{0}, backend->memory());
    backend->prepare(buffers);
    for (const step::Op& op : graph.ops)
      backend->run(op, buffers, 0);
    const auto wrong = backend->check_products(0, buffers);
    EXPECT_TRUE(wrong.empty()) << to_string(dtype) << ": " << wrong.at(0).expected << " "
                               << wrong.at(0).observed << " +- " << wrong.at(0).tolerance;
  }
}

TEST_F(CudaBackendTest, APlantedWrongElementIsFoundInHundredOfHundred) {
  const step::StepGraph graph = training_graph(Dtype::bf16);
  ComputeFacts facts;
  const auto backend = make_cuda_backend(graph, options(), facts);
  BufferSet buffers(graph, BufferSet::Need::all, RankId{0}, backend->memory());
  backend->prepare(buffers);
  for (std::uint64_t i = 0; i < 100; ++i) {
    for (const step::Op& op : graph.ops)
      backend->run(op, buffers, 0);
    const std::uint64_t element = mix64(i) % (24 * 40);
    std::byte* at = buffers.at(graph, {BufferId{2}, element});
    std::vector<std::byte> value(4);
    buffers.read(at, value);
    value[3] ^= std::byte{0x04};  // a middle bit of the exponent: 2^8 times as much, or as little
    buffers.write(at, value);
    const auto wrong = backend->check_products(static_cast<std::uint32_t>(i), buffers);
    ASSERT_EQ(wrong.size(), 1U) << i;
    EXPECT_EQ(wrong[0].op, OpId{1});
    EXPECT_EQ(wrong[0].column, element % 40);
    EXPECT_EQ(wrong[0].wrong_columns, 1U);
  }
}

TEST(CheckableProducts, AreThoseThatTheStepLeavesAsTheyWere) {
  step::StepGraph graph = training_graph(Dtype::f32);
  EXPECT_THAT(checkable_products(graph), ::testing::ElementsAre(CheckedProduct{OpId{1}, 2}));
  // Its result is overwritten by something else.
  step::StepGraph overwritten = graph;
  overwritten.ops.push_back(graph.ops[0]);
  std::get<Gemm>(overwritten.ops.back().work).m = 12;
  EXPECT_THAT(checkable_products(overwritten), ::testing::ElementsAre(CheckedProduct{OpId{2}, 1}))
      << "what overwrote it is left as it was";
  // An operand is written.
  step::StepGraph written = graph;
  written.ops.push_back(graph.ops[0]);
  std::get<Gemm>(written.ops.back().work).c = {BufferId{0}, 0};
  std::get<Gemm>(written.ops.back().work).m = 2;
  EXPECT_THAT(checkable_products(written), ::testing::IsEmpty());
  // It adds to what another product left.
  step::StepGraph added = graph;
  std::get<Gemm>(added.ops[0].work).layout = Layout::nn;
  EXPECT_THAT(checkable_products(added), ::testing::IsEmpty());
  // Nobody knows what was there before.
  step::StepGraph unknown = graph;
  unknown.ops.erase(unknown.ops.begin());
  EXPECT_THAT(checkable_products(unknown), ::testing::IsEmpty());
}

plan::Workload small_model(plan::WorkloadDtype dtype) {
  plan::Workload workload;
  workload.model = {"small", 2, 32, 64, 2, 2, 16, 48, true};
  workload.sequence_length = 16;
  workload.micro_batches = 2;
  workload.bucket_parameters = 4000;
  workload.dtype = dtype;
  return workload;
}

TEST_F(CudaBackendTest, RunsATrainingStepInEveryDtypeAndChecksIt) {
  for (const plan::WorkloadDtype dtype :
       {plan::WorkloadDtype::f32, plan::WorkloadDtype::tf32, plan::WorkloadDtype::bf16,
        plan::WorkloadDtype::f16, plan::WorkloadDtype::fp8}) {
    const step::StepGraph graph = workloads::build_transformer(small_model(dtype), {{1}});
    ComputeFacts facts;
    CudaOptions all = options();
    all.candidates = 1;
    all.checked_products = 1000;
    const auto backend = make_cuda_backend(graph, all, facts);
    BufferSet buffers(graph, BufferSet::Need::all, RankId{0}, backend->memory());
    backend->prepare(buffers);
    step::ComputeQueue& queue = *backend->queue();
    queue.begin_step();
    std::vector<OpId> ops;
    for (std::uint32_t i = 0; i < graph.ops.size(); ++i) {
      if (graph.ops[i].stream() == step::Stream::compute)
        ops.emplace_back(i);
    }
    queue.submit(ops, buffers);
    EXPECT_EQ(queue.completed(), ops.size());
    EXPECT_EQ(queue.times().size(), ops.size());
    // Every weight's gradient of both layers, and the head's; in fp8 the head's alone.
    EXPECT_EQ(detail(facts, "compute.checked_products"), dtype == plan::WorkloadDtype::fp8 ? "1" : "9")
        << to_string(dtype);
    const auto wrong = backend->check_products(0, buffers);
    EXPECT_TRUE(wrong.empty()) << to_string(dtype) << " " << graph.op(wrong.at(0).op).name << " "
                               << wrong.at(0).expected << " " << wrong.at(0).observed << " +- "
                               << wrong.at(0).tolerance;
  }
}

TEST_F(CudaBackendTest, TheDeviceMustExist) {
  EXPECT_EQ(why_no_cuda(0), "");
  EXPECT_EQ(why_no_cuda(1), "there is no GPU 1: this process may see 1");
  CudaOptions other = options();
  other.device = 1;
  ComputeFacts facts;
  EXPECT_THROW(static_cast<void>(make_cuda_backend(product_graph(gemm_of(2, 2, 2)), other, facts)), RunError);
}

TEST_F(CudaBackendTest, SaysWhatItIs) {
  const step::StepGraph graph = product_graph(gemm_of(2, 2, 2));
  ComputeFacts facts;
  const auto backend = make_cuda_backend(graph, options(), facts);
  EXPECT_EQ(backend->name(), "cuda Fake GPU");
  EXPECT_EQ(backend->busy_threads(), 1);
  EXPECT_FALSE(backend->memory().on_host());
}

}  // namespace
}  // namespace lockstep::compute

int main(int argc, char** argv) {
  ::setenv("LOCKSTEP_CUBLASLT", FAKE_CUBLASLT, 1);
  ::testing::InitGoogleMock(&argc, argv);
  return RUN_ALL_TESTS();
}
