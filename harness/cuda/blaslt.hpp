#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "harness/cuda/matmul.hpp"
#include "harness/cuda/memory.hpp"
#include "harness/cuda/stream.hpp"

/// cuBLASLt, loaded when it is first needed: programs of this build start on machines without it.
namespace lockstep::cuda {

/// One way to compute a product, as cuBLASLt describes it to itself.
struct MatmulAlgorithm {
  std::array<std::uint64_t, 8> words{};  ///< a cublasLtMatmulAlgo_t; holds for one version of the library
  std::uint64_t workspace_bytes = 0;
  bool operator==(const MatmulAlgorithm&) const = default;
};

/// Addresses on the device. Those of the extras that the problem does not have are null.
struct MatmulOperands {
  const void* a = nullptr;
  const void* b = nullptr;
  void* c = nullptr;
  void* vector = nullptr;          ///< n elements of C's type: see Epilogue
  void* extra_matrix = nullptr;    ///< m x n of C's type: see Epilogue
  const float* a_scale = nullptr;  ///< one number on the device
  const float* b_scale = nullptr;
};

class BlasLt;

/// A problem that the library has been told of. Belongs to one thread at a time.
class Matmul {
 public:
  /// Throws CudaError, also when why_impossible() has a reason.
  Matmul(const BlasLt& library, const MatmulProblem& problem);
  Matmul(Matmul&& other) noexcept;
  Matmul& operator=(Matmul&& other) noexcept;
  ~Matmul();

  [[nodiscard]] const MatmulProblem& problem() const { return problem_; }
  /// What the library's heuristic proposes, its favourite first: at most `most` algorithms with at most
  /// `workspace_bytes` of workspace each. Empty when it has none.
  [[nodiscard]] std::vector<MatmulAlgorithm> candidates(int most, std::uint64_t workspace_bytes) const;
  /// Whether the library takes this algorithm, which may be of another run, for this problem; then with the
  /// workspace that it needs now.
  [[nodiscard]] bool accepts(MatmulAlgorithm& algorithm, std::uint64_t workspace_bytes) const;
  /// Gives the product to the stream. The workspace is used until it is done. Throws CudaError.
  void run(const MatmulAlgorithm& algorithm, const MatmulOperands& operands, DeviceView workspace,
           const Stream& stream);

 private:
  struct Descriptors;

  MatmulProblem problem_;
  std::unique_ptr<Descriptors> descriptors_;
};

/// The library, with a handle for the current device.
class BlasLt {
 public:
  /// Throws CudaError when the library cannot be loaded, is of another major version than it was compiled
  /// for, or finds no device.
  BlasLt();
  BlasLt(const BlasLt&) = delete;
  BlasLt& operator=(const BlasLt&) = delete;
  ~BlasLt();

 private:
  friend class Matmul;
  void* handle_ = nullptr;
};

/// Where cublaslt would be loaded from: the file that is loaded; empty when it is not there. For the record.
[[nodiscard]] std::string cublaslt_path();

}  // namespace lockstep::cuda
