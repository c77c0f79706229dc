#include "harness/compute/cpu_backend.hpp"

#include <vector>

#include <gmock/gmock.h>

#include "harness/compute/adam_update.hpp"
#include "harness/compute/kernel_choice.hpp"
#include "harness/core/error.hpp"
#include "harness/core/hash.hpp"
#include "tests/compute/small_graph.hpp"

namespace lockstep::compute {
namespace {

using testing::gemm_of;
using testing::product_graph;
using testing::update_graph;
using Layout = step::Gemm::Layout;

SgemmLibrary any_library() {
  return SgemmLibrary::load(
      best_by_features(list_kernels(read_cpu_features(), find_blas_libraries(library_folders()))).kernel);
}

void fill_integers(float* values, std::uint64_t elements, std::uint64_t seed) {
  for (std::uint64_t i = 0; i < elements; ++i)
    values[i] = static_cast<float>(static_cast<int>(mix64(seed + i) % 17) - 8);
}

TEST(CpuBackend, ComputesABatchOfConsecutiveMatrices) {
  for (const Layout layout : {Layout::nn, Layout::nt, Layout::tn}) {
    for (const bool accumulate : {false, true}) {
      step::Gemm gemm = gemm_of(5, 7, 11);
      gemm.batch = 3;
      gemm.layout = layout;
      gemm.accumulate = accumulate;
      const step::StepGraph graph = product_graph(gemm);
      step::BufferSet buffers(graph, step::BufferSet::Need::all, RankId{0});
      float* a = buffers.floats({BufferId{0}, 0});
      float* b = buffers.floats({BufferId{1}, 0});
      float* c = buffers.floats({BufferId{2}, 0});
      fill_integers(a, 3 * 55, 1);
      fill_integers(b, 3 * 77, 2);
      fill_integers(c, 3 * 35, 3);
      const std::vector<float> before(c, c + 3 * 35);

      make_cpu_backend(graph, any_library())->run(graph.ops[0], buffers, 0);

      for (std::size_t matrix = 0; matrix < 3; ++matrix) {
        for (std::size_t row = 0; row < 5; ++row) {
          for (std::size_t column = 0; column < 7; ++column) {
            double sum = accumulate ? static_cast<double>(before[matrix * 35 + row * 7 + column]) : 0.0;
            for (std::size_t i = 0; i < 11; ++i) {
              const float left = a[matrix * 55 + (layout == Layout::tn ? i * 5 + row : row * 11 + i)];
              const float right = b[matrix * 77 + (layout == Layout::nt ? column * 11 + i : i * 7 + column)];
              sum += static_cast<double>(left) * static_cast<double>(right);
            }
            ASSERT_EQ(static_cast<double>(c[matrix * 35 + row * 7 + column]), sum)
                << "layout " << static_cast<int>(layout) << " matrix " << matrix << " row " << row
                << " column " << column;
          }
        }
      }
    }
  }
}

TEST(CpuBackend, KeepsToTheOffsetsOfItsOperands) {
  step::StepGraph graph = product_graph(gemm_of(2, 2, 2));
  graph.buffers = {testing::buffer("a", 9), testing::buffer("b", 9), testing::buffer("c", 9)};
  auto& gemm = std::get<step::Gemm>(graph.ops[0].work);
  gemm.a.offset = 1;
  gemm.b.offset = 2;
  gemm.c.offset = 3;
  step::BufferSet buffers(graph, step::BufferSet::Need::all, RankId{0});
  const float a[] = {1, 2, 3, 4};
  const float b[] = {5, 6, 7, 8};
  std::copy(a, a + 4, buffers.floats(gemm.a));
  std::copy(b, b + 4, buffers.floats(gemm.b));
  float* c = buffers.floats({BufferId{2}, 0});
  std::fill(c, c + 9, -1.0F);
  make_cpu_backend(graph, any_library())->run(graph.ops[0], buffers, 0);
  EXPECT_THAT(std::vector<float>(c, c + 9), ::testing::ElementsAre(-1, -1, -1, 19, 22, 43, 50, -1, -1));
}

TEST(CpuBackend, UpdatesTheParametersOfEachGradientBufferInOrder) {
  const step::StepGraph graph = update_graph();
  step::BufferSet buffers(graph, step::BufferSet::Need::all, RankId{0});
  std::vector<float> gradients;
  for (const BufferId id : {BufferId{0}, BufferId{1}}) {
    const float* values = buffers.floats({id, 0});
    gradients.insert(gradients.end(), values, values + graph.buffer(id).elements);
  }
  const float* p = buffers.floats({BufferId{2}, 0});
  std::vector<float> parameters(p, p + 8);
  std::vector<float> first(8, 0.0F);
  std::vector<float> second(8, 0.0F);
  adam_update({}, 8, gradients.data(), parameters.data(), first.data(), second.data());

  make_cpu_backend(graph, any_library())->run(graph.ops[0], buffers, 0);

  const auto stored = [&buffers](std::uint32_t id) {
    const float* values = buffers.floats({BufferId{id}, 0});
    return std::vector<float>(values, values + 8);
  };
  EXPECT_EQ(stored(2), parameters);
  EXPECT_EQ(stored(3), first);
  EXPECT_EQ(stored(4), second);
}

TEST(CpuBackend, UpdatesOnlyTheParametersThatTheUpdateRefersTo) {
  step::StepGraph graph = update_graph();
  auto& update = std::get<step::Update>(graph.ops[0].work);
  update.elements = 5;
  update.gradients = {BufferId{1}};
  update.parameters.offset = update.first_moment.offset = update.second_moment.offset = 3;
  step::BufferSet buffers(graph, step::BufferSet::Need::all, RankId{0});
  const float* p = buffers.floats({BufferId{2}, 0});
  const std::vector<float> before(p, p + 8);
  make_cpu_backend(graph, any_library())->run(graph.ops[0], buffers, 0);
  for (std::size_t i = 0; i < 8; ++i)
    EXPECT_EQ(p[i] == before[i], i < 3) << i;
}

TEST(CpuBackend, RefusesWhatIsNotSinglePrecision) {
  for (const step::Dtype dtype : {step::Dtype::f64, step::Dtype::bf16, step::Dtype::f16}) {
    step::Gemm gemm = gemm_of(2, 2, 2);
    gemm.dtype = dtype;
    EXPECT_THROW(static_cast<void>(make_cpu_backend(product_graph(gemm), any_library())), InputError);
    step::StepGraph graph = update_graph();
    std::get<step::Update>(graph.ops[0].work).dtype = dtype;
    EXPECT_THROW(static_cast<void>(make_cpu_backend(graph, any_library())), InputError);
  }
}

TEST(CpuBackend, RefusesExtentsThatTheLibraryCannotCount) {
  EXPECT_THROW(static_cast<void>(make_cpu_backend(product_graph(gemm_of(1ULL << 31, 1, 1)), any_library())),
               InputError);
}

TEST(CpuBackend, SaysWhatItIs) {
  const auto backend = make_cpu_backend(update_graph(), any_library());
  EXPECT_THAT(backend->name(), ::testing::StartsWith("cpu "));
  EXPECT_EQ(backend->busy_threads(), 1);
  EXPECT_EQ(backend->buffers_needed(), step::BufferSet::Need::all);
}

}  // namespace
}  // namespace lockstep::compute
