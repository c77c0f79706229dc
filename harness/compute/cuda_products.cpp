#include "harness/compute/cuda_products.hpp"

#include <algorithm>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "harness/compute/algorithm_search.hpp"
#include "harness/compute/cuda_memory.hpp"
#include "harness/core/error.hpp"
#include "harness/cuda/device.hpp"

namespace lockstep::compute {
namespace {

using cuda::Element;
using cuda::MatmulProblem;

step::Dtype dtype_of(Element element) {
  switch (element) {
    case Element::f32:
      return step::Dtype::f32;
    case Element::bf16:
      return step::Dtype::bf16;
    case Element::f16:
      return step::Dtype::f16;
    case Element::e4m3:
      return step::Dtype::e4m3;
    case Element::e5m2:
      return step::Dtype::e5m2;
  }
  LOCKSTEP_EXPECT(false, "no such element");
}

std::uint64_t bytes_of_operands(const MatmulProblem& p) {
  return p.batch * (p.m * p.k * bytes_of(p.a) + p.k * p.n * bytes_of(p.b) + p.m * p.n * bytes_of(p.c));
}

/// Buffers for a few sets of operands of one problem.
step::StepGraph operand_sets(const MatmulProblem& p, std::uint64_t sets) {
  step::StepGraph graph;
  for (std::uint64_t i = 0; i < sets; ++i) {
    graph.buffers.push_back({"a", step::BufferRole::activations, dtype_of(p.a), p.batch * p.m * p.k});
    graph.buffers.push_back({"b", step::BufferRole::weights, dtype_of(p.b), p.batch * p.k * p.n});
    graph.buffers.push_back({"c", step::BufferRole::activations, dtype_of(p.c), p.batch * p.m * p.n});
  }
  graph.buffers.push_back({"scale", step::BufferRole::optimizer_state, step::Dtype::f32, 1});
  return graph;
}

/// Runs one problem again and again on operands of its own.
class TrialRun {
 public:
  TrialRun(cuda::Matmul& matmul, const SearchOptions& options, int device)
      : matmul_(matmul),
        sets_(
            std::clamp<std::uint64_t>(2 * options.l2_bytes / bytes_of_operands(matmul.problem()) + 1, 1, 8)),
        memory_(device),
        buffers_(operand_sets(matmul.problem(), sets_), step::BufferSet::Need::all, RankId{0}, memory_),
        workspace_(options.workspace_bytes) {
    const float one = 1.0F;
    buffers_.write(address(static_cast<std::uint32_t>(3 * sets_)),
                   std::as_bytes(std::span<const float>(&one, 1)));
  }

  /// Seconds; nothing when the library refuses.
  std::optional<double> measure(const cuda::MatmulAlgorithm& algorithm) {
    const auto set = static_cast<std::uint32_t>(3 * (turn_++ % sets_));
    cuda::MatmulOperands operands;
    operands.a = address(set);
    operands.b = address(set + 1);
    operands.c = address(set + 2);
    if (matmul_.problem().scaled) {
      operands.a_scale = reinterpret_cast<const float*>(address(static_cast<std::uint32_t>(3 * sets_)));
      operands.b_scale = operands.a_scale;
    }
    try {
      begin_.record(stream_);
      matmul_.run(algorithm, operands, {static_cast<std::byte*>(workspace_.data()), workspace_.bytes()},
                  stream_);
      end_.record(stream_);
    } catch (const cuda::CudaError&) {
      stream_.synchronize();  // a refusal leaves the device as it was; anything worse shows here
      return std::nullopt;
    }
    end_.synchronize();
    return end_.seconds_since(begin_);
  }

 private:
  [[nodiscard]] std::byte* address(std::uint32_t buffer) { return buffers_.bytes(BufferId{buffer}).data(); }

  cuda::Matmul& matmul_;
  std::uint64_t sets_;
  CudaMemory memory_;
  step::BufferSet buffers_;
  cuda::DeviceMemory workspace_;
  cuda::Stream stream_;
  cuda::Event begin_;
  cuda::Event end_;
  std::uint64_t turn_ = 0;
};

}  // namespace

Element element_of(step::Dtype dtype) {
  switch (dtype) {
    case step::Dtype::f32:
      return Element::f32;
    case step::Dtype::bf16:
      return Element::bf16;
    case step::Dtype::f16:
      return Element::f16;
    case step::Dtype::e4m3:
      return Element::e4m3;
    case step::Dtype::e5m2:
      return Element::e5m2;
    case step::Dtype::f64:
      break;
  }
  throw InputError({.what = "compute backend cuda has no products in f64",
                    .why = "training uses none",
                    .suggestion = "use workload.dtype \"f32\"",
                    .file = {}});
}

MatmulProblem problem_of(const step::StepGraph& graph, const step::Op& op, const step::Gemm& gemm) {
  MatmulProblem problem;
  problem.m = gemm.m;
  problem.n = gemm.n;
  problem.k = gemm.k;
  problem.batch = gemm.batch;
  switch (gemm.layout) {
    case step::Gemm::Layout::nn:
      problem.layout = MatmulProblem::Layout::nn;
      break;
    case step::Gemm::Layout::nt:
      problem.layout = MatmulProblem::Layout::nt;
      break;
    case step::Gemm::Layout::tn:
      problem.layout = MatmulProblem::Layout::tn;
      break;
  }
  problem.accumulate = gemm.accumulate;
  problem.tf32 = gemm.math == step::Gemm::Math::tf32;
  const auto take = [&](step::BufferRef ref) {
    const step::Dtype dtype = graph.buffer(ref.buffer).dtype;
    // Buffers begin at multiples of 256 bytes.
    problem.alignment = std::min(problem.alignment, cuda::alignment_of(ref.offset * bytes_of(dtype)));
    return element_of(dtype);
  };
  problem.a = take(gemm.a);
  problem.b = take(gemm.b);
  problem.c = take(gemm.c);
  problem.scaled = is_fp8(problem.a);
  problem.fast_accumulation = problem.a == Element::e4m3 && problem.b == Element::e4m3;
  if (const std::string reason = why_impossible(problem); !reason.empty()) {
    throw InputError({.what = "op " + op.name + " cannot run on a GPU as " + name_of(problem),
                      .why = reason,
                      .suggestion = "change the workload's shape or its dtype",
                      .file = {}});
  }
  return problem;
}

const char* to_string(AlgorithmBasis basis) {
  switch (basis) {
    case AlgorithmBasis::searched:
      return "searched";
    case AlgorithmBasis::cached:
      return "cached";
    case AlgorithmBasis::heuristic:
      return "heuristic";
  }
  return "?";
}

TunedProduct tune_product(const cuda::BlasLt& library, const MatmulProblem& problem,
                          const SearchOptions& options, int device, AlgorithmCache& cache) {
  TunedProduct tuned{cuda::Matmul(library, problem), {}, AlgorithmBasis::heuristic, 0.0, 0.0};
  const std::string name = name_of(problem);
  if (auto stored = cache.find(name);
      stored && tuned.matmul.accepts(stored->algorithm, options.workspace_bytes)) {
    tuned.algorithm = stored->algorithm;
    tuned.basis = AlgorithmBasis::cached;
    tuned.seconds = stored->seconds;
    tuned.gain = stored->gain;
    return tuned;
  }
  const std::vector<cuda::MatmulAlgorithm> candidates =
      tuned.matmul.candidates(options.candidates, options.workspace_bytes);
  if (candidates.empty()) {
    throw RunError({.what = "cuBLASLt has no algorithm for product " + name,
                    .why = "this card or this version of the library does not support it",
                    .suggestion = "use another workload.dtype",
                    .file = {}});
  }
  if (options.candidates == 1) {
    tuned.algorithm = candidates.front();
    return tuned;
  }
  TrialRun trial(tuned.matmul, options, device);
  SearchLimits limits;
  limits.budget_s = options.budget_s;
  const SearchResult found = search_algorithm(
      candidates.size(), [&](std::size_t index) { return trial.measure(candidates[index]); }, limits);
  if (!found.best) {
    throw RunError({.what = "none of " + std::to_string(candidates.size()) +
                            " algorithms of cuBLASLt ran for product " + name,
                    .why = "the library refused each of them",
                    .suggestion = "use another workload.dtype",
                    .file = {}});
  }
  tuned.algorithm = candidates[found.best->index];
  tuned.basis = AlgorithmBasis::searched;
  tuned.seconds = found.best->seconds;
  tuned.gain = found.gain();
  cache.put(name, {tuned.algorithm, tuned.seconds, tuned.gain});
  return tuned;
}

Fact fact_of(const TunedProduct& product) {
  const MatmulProblem& problem = product.matmul.problem();
  std::string text;
  if (product.seconds > 0.0)
    text = fmt::format("{:.1f} TFLOP/s, ", problem.flops() / product.seconds * 1e-12);
  if (product.gain > 0.0)
    text += fmt::format("{:.3f} of the heuristic's, ", product.gain);
  return {"compute.product." + name_of(problem), text + to_string(product.basis)};
}

}  // namespace lockstep::compute
