#include "harness/compute/cpu_backend.hpp"

#include <algorithm>
#include <utility>

#include "harness/compute/adam_update.hpp"
#include "harness/core/error.hpp"

namespace lockstep::compute {
namespace {

void refuse_dtype(const step::Op& op, step::Dtype dtype) {
  if (dtype == step::Dtype::f32)
    return;
  throw InputError({.what = std::string("op ") + op.name + " has dtype " + step::to_string(dtype),
                    .why = "compute backend cpu works in f32 only",
                    .suggestion = "use an f32 workload, or backend \"paced\"",
                    .file = {}});
}

void check_op(const step::Op& op) {
  if (const auto* gemm = std::get_if<step::Gemm>(&op.work)) {
    refuse_dtype(op, gemm->dtype);
    LOCKSTEP_EXPECT(std::min({gemm->m, gemm->n, gemm->k}) > 0, "empty product: " + op.name);
    if (std::max({gemm->m, gemm->n, gemm->k}) > SgemmLibrary::kMaxExtent) {
      throw InputError({.what = "op " + op.name + " has a matrix extent above 2^31 - 1",
                        .why = "BLAS libraries count in 32-bit integers",
                        .suggestion = "use a smaller model, or more tensor-parallel ranks",
                        .file = {}});
    }
  } else if (const auto* update = std::get_if<step::Update>(&op.work)) {
    refuse_dtype(op, update->dtype);
  }
}

class CpuBackend final : public step::ComputeBackend {
 public:
  CpuBackend(const step::StepGraph& graph, SgemmLibrary library) : library_(std::move(library)) {
    for (const step::Op& op : graph.ops)
      check_op(op);
    for (const step::Buffer& buffer : graph.buffers)
      elements_.push_back(buffer.elements);
  }

  void run(const step::Op& op, step::BufferSet& buffers, std::int64_t /*ready_ns*/) override {
    if (const auto* gemm = std::get_if<step::Gemm>(&op.work)) {
      multiply(*gemm, buffers);
    } else if (const auto* update = std::get_if<step::Update>(&op.work)) {
      apply(*update, buffers);
    } else {
      LOCKSTEP_EXPECT(false, "a communication on the compute stream");
    }
  }

  [[nodiscard]] std::string name() const override { return "cpu " + library_.kernel().name; }
  [[nodiscard]] int busy_threads() const override { return 1; }
  [[nodiscard]] step::BufferSet::Need buffers_needed() const override { return step::BufferSet::Need::all; }

 private:
  void multiply(const step::Gemm& gemm, step::BufferSet& buffers) const {
    const GemmShape shape{gemm.m, gemm.n, gemm.k, gemm.layout};
    const GemmTarget target = gemm.accumulate ? GemmTarget::accumulate : GemmTarget::replace;
    const float* a = buffers.floats(gemm.a);
    const float* b = buffers.floats(gemm.b);
    float* c = buffers.floats(gemm.c);
    for (std::uint64_t i = 0; i < gemm.batch; ++i) {
      library_.multiply(shape, a, b, target, c);
      a += gemm.m * gemm.k;
      b += gemm.k * gemm.n;
      c += gemm.m * gemm.n;
    }
  }

  void apply(const step::Update& update, step::BufferSet& buffers) const {
    float* parameters = buffers.floats(update.parameters);
    float* first = buffers.floats(update.first_moment);
    float* second = buffers.floats(update.second_moment);
    for (const BufferId id : update.gradients) {
      const std::uint64_t count = elements_[id.value()];
      adam_update({}, count, buffers.floats({id, 0}), parameters, first, second);
      parameters += count;
      first += count;
      second += count;
    }
  }

  SgemmLibrary library_;
  std::vector<std::uint64_t> elements_;  // of each buffer
};

}  // namespace

std::unique_ptr<step::ComputeBackend> make_cpu_backend(const step::StepGraph& graph, SgemmLibrary library) {
  return std::make_unique<CpuBackend>(graph, std::move(library));
}

}  // namespace lockstep::compute
