#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "harness/compute/kernel_catalog.hpp"
#include "harness/step/graph.hpp"

namespace lockstep::compute {

/// Shape of one product: C(m x n) = op(A)(m x k) * op(B)(k x n), all matrices row-major without padding.
struct GemmShape {
  std::uint64_t m = 0;
  std::uint64_t n = 0;
  std::uint64_t k = 0;
  /// nn: A is stored m x k and B k x n. nt: B is stored n x k, so C = A * B^T. tn: A is stored k x m, so C =
  /// A^T * B.
  step::Gemm::Layout layout = step::Gemm::Layout::nn;
  [[nodiscard]] double flops() const {
    return 2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);
  }
};

/// Whether the product replaces C or is added to it.
enum class GemmTarget { replace, accumulate };

/// A BLAS library that was loaded at run time, after the choice of its kernel.
///
/// Sharp edge: load() sets environment variables of this process (threads that read the environment at that
/// moment race with it: load before starting any), and a library picks its kernel once per process: to
/// compare kernels of one library, use one process for each. The library stays in memory until the process
/// ends: unloading an OpenMP runtime under a thread that has used it is not safe.
class SgemmLibrary {
 public:
  /// Largest extent of a matrix: the libraries count in 32-bit integers.
  static constexpr std::uint64_t kMaxExtent = INT32_MAX;

  /// Throws RunError when the library cannot be loaded, lacks GEMM, or runs another kernel than was asked
  /// for.
  static SgemmLibrary load(const GemmKernel& kernel);

  SgemmLibrary(SgemmLibrary&&) noexcept = default;
  SgemmLibrary& operator=(SgemmLibrary&&) noexcept = default;

  /// One product on the calling thread. The matrices do not overlap; every extent is in 1..kMaxExtent.
  void multiply(const GemmShape& shape, const float* a, const float* b, GemmTarget target, float* c) const;

  /// The kernel with core_name filled in where the library tells.
  [[nodiscard]] const GemmKernel& kernel() const { return kernel_; }

 private:
  struct Close {
    void operator()(void* handle) const noexcept;
  };
  using CblasSgemm = void (*)(int order, int trans_a, int trans_b, int m, int n, int k, float alpha,
                              const float* a, int lda, const float* b, int ldb, float beta, float* c,
                              int ldc);
  using DnnlSgemm = int (*)(char trans_a, char trans_b, std::int64_t m, std::int64_t n, std::int64_t k,
                            float alpha, const float* a, std::int64_t lda, const float* b, std::int64_t ldb,
                            float beta, float* c, std::int64_t ldc);

  SgemmLibrary() = default;
  [[nodiscard]] void* find(const char* symbol) const;

  std::unique_ptr<void, Close> handle_;
  GemmKernel kernel_;
  CblasSgemm cblas_ = nullptr;
  DnnlSgemm dnnl_ = nullptr;
  void (*set_openmp_threads_)(int) = nullptr;  // of the calling thread
};

/// What a short measurement of C = A * B with square matrices found.
struct GemmRate {
  std::uint64_t extent = 0;  ///< m = n = k
  int repetitions = 0;
  double gflops = 0.0;   ///< of the fastest repetition, GFLOP/s (1e9), by CPU time of the calling thread
  bool correct = false;  ///< sampled elements agree with a plain sum in double precision
};

/// Multiplies until `budget_s` of wall time is spent, once at least after an unmeasured first product, at
/// most `max_repetitions` times. CPU time is counted rather than wall time, so that a neighbour on the same
/// core does not make a kernel look slow.
[[nodiscard]] GemmRate measure_rate(const SgemmLibrary& library, std::uint64_t extent, double budget_s,
                                    int max_repetitions = 8);

/// Whether all layouts, with and without accumulation, give exactly the sums of small integers that they
/// should.
[[nodiscard]] bool multiplies_exactly(const SgemmLibrary& library);

/// GEMM rate that this rank's core reaches with the library, GFLOP/s (1e9): best of a few square products of
/// 1024 and, where one takes less than 0.25 s, 2048. Takes about half a second.
[[nodiscard]] double measure_peak_gflops(const SgemmLibrary& library);

}  // namespace lockstep::compute
