#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "harness/compute/algorithm_cache.hpp"
#include "harness/compute/facts.hpp"
#include "harness/cuda/blaslt.hpp"
#include "harness/step/graph.hpp"

/// A graph's products on a device: how each is put to cuBLASLt, and with which algorithm.
namespace lockstep::compute {

/// The element that cuBLASLt knows it by. f64 has none: InputError.
[[nodiscard]] cuda::Element element_of(step::Dtype dtype);

/// A product of the graph as a problem for cuBLASLt. fp8 operands are scaled; partial sums stay narrow where
/// both are e4m3, the forward pass, and not in the gradients' products (the defaults of NVIDIA's Transformer
/// Engine). Throws InputError, with the op's name, when there is no kernel for it.
[[nodiscard]] cuda::MatmulProblem problem_of(const step::StepGraph& graph, const step::Op& op,
                                             const step::Gemm& gemm);

/// How an algorithm was found.
enum class AlgorithmBasis { searched, cached, heuristic };
[[nodiscard]] const char* to_string(AlgorithmBasis basis);

struct SearchOptions {
  int candidates = 16;    ///< of each product, of the heuristic's; 1 takes its favourite unmeasured
  double budget_s = 1.0;  ///< of measured time for each product
  std::uint64_t workspace_bytes = 0;  ///< most that an algorithm may use
  std::uint64_t l2_bytes = 0;         ///< operands are taken in turns, so that they add up to twice as much
};

/// One distinct product, ready to run.
struct TunedProduct {
  cuda::Matmul matmul;
  cuda::MatmulAlgorithm algorithm;
  AlgorithmBasis basis = AlgorithmBasis::heuristic;
  double seconds = 0.0;  ///< that it took alone; 0 when it was not measured
  double gain = 0.0;     ///< see SearchResult::gain()
};

/// Finds the fastest algorithm for a problem: from the cache, or by running the candidates on operands of its
/// own, which are random and freed at the end. Throws CudaError, and RunError when no candidate ran.
[[nodiscard]] TunedProduct tune_product(const cuda::BlasLt& library, const cuda::MatmulProblem& problem,
                                        const SearchOptions& options, int device, AlgorithmCache& cache);

/// `812.3 TFLOP/s, 1.021 of the heuristic's, searched`.
[[nodiscard]] Fact fact_of(const TunedProduct& product);

}  // namespace lockstep::compute
