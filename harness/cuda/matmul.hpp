#pragma once

#include <cstdint>
#include <string>

/// A matrix product as the rest of Lockstep writes it, and as cuBLASLt wants it. Pure: no CUDA here.
namespace lockstep::cuda {

/// How elements are stored.
enum class Element { f32, bf16, f16, e4m3, e5m2 };
[[nodiscard]] std::uint32_t bytes_of(Element element);
[[nodiscard]] const char* to_string(Element element);
[[nodiscard]] bool is_fp8(Element element);

/// What happens to the product before it is stored. The vector (bias, or its gradient) has n elements of C's
/// type; the extra matrix is m x n, row-major, of C's type. GELU is the tanh approximation.
enum class Epilogue {
  none,
  bias,           ///< + bias
  gelu,           ///< GELU(product)
  gelu_bias,      ///< GELU(product + bias)
  gelu_aux_bias,  ///< the same, and the argument of GELU is kept in the extra matrix
  dgelu,          ///< product * GELU'(extra matrix)
  dgelu_bgrad,    ///< the same, and its sum over the rows goes to the vector
  bgrad,  ///< the product, and the sum of B over k goes to the vector (weight gradient: B is the output's
          ///< gradient)
};
[[nodiscard]] const char* to_string(Epilogue epilogue);
[[nodiscard]] bool has_vector(Epilogue epilogue);
[[nodiscard]] bool has_extra_matrix(Epilogue epilogue);

/// C(m x n) = A(m x k) * B(k x n), row-major and without gaps, `batch` times over consecutive matrices. Sums
/// are made in fp32.
struct MatmulProblem {
  std::uint64_t m = 0;
  std::uint64_t n = 0;
  std::uint64_t k = 0;
  std::uint64_t batch = 1;
  enum class Layout { nn, nt, tn } layout = Layout::nn;  ///< which of A, B is stored transposed
  Element a = Element::f32;
  Element b = Element::f32;
  Element c = Element::f32;
  bool tf32 = false;        ///< f32 only: multiply with 10 bits of fraction
  bool accumulate = false;  ///< C += A*B
  bool scaled = false;  ///< fp8 only: A and B each have a scale, one f32 on the device, that multiplies it
  /// fp8 only: partial sums stay in the tensor core's narrower accumulator. Faster, less precise.
  bool fast_accumulation = false;
  Epilogue epilogue = Epilogue::none;
  /// What every operand's address is a multiple of, a power of two. Kernels differ in what they ask for.
  std::uint32_t alignment = 256;

  bool operator==(const MatmulProblem&) const = default;
  [[nodiscard]] double flops() const {
    return 2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k) *
           static_cast<double>(batch);
  }
};

/// One word that names the problem, e.g. `nt.8192x28672x8192.bf16.bf16.f32.acc.a256`: equal words, equal
/// problems.
[[nodiscard]] std::string name_of(const MatmulProblem& problem);

/// Why cuBLASLt has no kernel for it, in one line; empty when it may. (Rules of the documentation of
/// cublasLtMatmul(), CUDA 13.0: fp8 operands need k contiguous in both on Hopper, extents that are multiples
/// of 16, and not two e5m2; the extra matrix needs rows of a multiple of 8.)
[[nodiscard]] std::string why_impossible(const MatmulProblem& problem);

/// Largest power of two, up to 256, that divides `address`.
[[nodiscard]] std::uint32_t alignment_of(std::uint64_t address);

/// One matrix in memory, column-major: element (row, column) of matrix i is at i * stride + column * leading
/// + row.
struct ColumnMajorMatrix {
  std::uint64_t rows = 0;
  std::uint64_t columns = 0;
  std::int64_t leading = 0;
  std::int64_t stride = 0;
  bool transposed = false;
  bool operator==(const ColumnMajorMatrix&) const = default;
};

/// The same product, column-major. A row-major matrix is its transpose in column-major order, and
/// (A B)^T = B^T A^T: so B comes first, and the result is n x m.
struct ColumnMajorProduct {
  ColumnMajorMatrix first;   ///< our B
  ColumnMajorMatrix second;  ///< our A
  ColumnMajorMatrix result;  ///< our C
};
[[nodiscard]] ColumnMajorProduct column_major(const MatmulProblem& problem);

}  // namespace lockstep::cuda
