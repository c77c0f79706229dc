#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "harness/step/graph.hpp"

/// Checksums of a matrix product (Huang and Abraham, "Algorithm-Based Fault Tolerance for Matrix Operations",
/// 1984): the column sums of C = A B are the column sums of A, times B. The second way takes 2nk of the 2mnk
/// operations, and does not go through the elements of C: an element that was computed or stored wrongly
/// shows as a column whose two sums differ by more than rounding explains. Pure arithmetic.
namespace lockstep::compute {

/// What is known of the operands, for the bound.
struct ProductStatistics {
  std::uint64_t m = 0;
  std::uint64_t k = 0;
  double rms_a = 0.0;  ///< root mean square of A's elements
  double rms_b = 0.0;
  std::uint64_t terms = 1;  ///< products that were added up in C
  step::Dtype c = step::Dtype::f32;
  step::Gemm::Math math = step::Gemm::Math::full;
};

/// Largest difference of a column's two sums that rounding may explain, in a column of typical size.
///
/// An element of C has about rms_c = sqrt(k) rms_a rms_b. Storing it in C's format is wrong by u rms_c at
/// most, u half a unit in the last place, independently of the others: u rms_c sqrt(m) over a column. Sums of
/// length l in fp32 are wrong by no more than l/8 half-units of their size even when the hardware cuts
/// instead of rounding (tensor cores add 8 products or more at a time; Fasi et al., "Numerical behavior of
/// NVIDIA tensor cores", 2021). The three add up as squares; the result is eight of these standard
/// deviations, so that a correct column out of 10^12 passes it by chance in less than one of a thousand
/// cases. With tf32, each product is wrong by two roundings to 10 bits.
[[nodiscard]] double column_tolerance(const ProductStatistics& product);

/// Half a unit in the last place of 1.0: 2^-24 for f32, 2^-9 for bf16, 2^-12 for f16, 2^-53 for f64, 2^-4 and
/// 2^-3 for fp8.
[[nodiscard]] double unit_roundoff(step::Dtype dtype);

/// How the column sums compare.
struct ChecksumVerdict {
  std::uint64_t wrong_columns = 0;
  std::uint64_t column = 0;  ///< the one furthest off, right or wrong
  double expected = 0.0;
  double observed = 0.0;
  double tolerance = 0.0;
};

/// `expected[j]` from the checksums of A, `observed[j]` from C. A sum that is no number is wrong. A column
/// whose expected sum is large, because the elements of B in it are, has a tolerance that is larger in
/// proportion.
[[nodiscard]] ChecksumVerdict compare_column_sums(std::span<const double> expected,
                                                  std::span<const double> observed, double tolerance,
                                                  double typical_sum);

/// rms_c sqrt(m): what a column sum of random operands is like.
[[nodiscard]] double typical_column_sum(const ProductStatistics& product);

/// A vector of numbers as a sum of vectors in a narrow format, each scaled by a power of two: the column sums
/// of A, so that the tensor cores can multiply them with B and lose nothing. The parts' products with B,
/// times their scales, add up to that of the vector.
struct SplitVector {
  struct Part {
    double scale = 1.0;
    std::vector<float> values;  ///< each one representable in the format
  };
  std::vector<Part> parts;
};
/// As many parts as the 24 bits of fp32 need: 1 (f32), 3 (bf16, f16), 6 (e4m3), 8 (e5m2).
[[nodiscard]] SplitVector split_vector(std::span<const float> values, step::Dtype dtype);
[[nodiscard]] std::size_t parts_of(step::Dtype dtype);

/// The code of a representable value in the format, least significant byte first; 1, 2 or 4 bytes each.
[[nodiscard]] std::vector<std::byte> encode(std::span<const float> values, step::Dtype dtype);
/// The number that a code stands for. `bytes` holds one element.
[[nodiscard]] float decode(const std::byte* bytes, step::Dtype dtype);

}  // namespace lockstep::compute
