#include "harness/compute/gemm_checksum.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "harness/core/error.hpp"

namespace lockstep::compute {
namespace {

using step::Dtype;

constexpr double kDeviations = 8.0;
constexpr double kTermsAtATime = 8.0;
constexpr int kBits = 24;  // of a number in fp32

/// A format with a sign, an exponent and a fraction.
struct Format {
  int fraction_bits = 0;
  int bias = 0;
  int bytes = 0;
};

Format format_of(Dtype dtype) {
  switch (dtype) {
    case Dtype::f32:
      return {23, 127, 4};
    case Dtype::bf16:
      return {7, 127, 2};
    case Dtype::f16:
      return {10, 15, 2};
    case Dtype::e4m3:
      return {3, 7, 1};
    case Dtype::e5m2:
      return {2, 15, 1};
    case Dtype::f64:
      break;
  }
  LOCKSTEP_EXPECT(false, "no such format of up to 32 bits");
}

}  // namespace

double unit_roundoff(Dtype dtype) {
  if (dtype == Dtype::f64)
    return std::ldexp(1.0, -53);
  return std::ldexp(1.0, -format_of(dtype).fraction_bits - 1);
}

double typical_column_sum(const ProductStatistics& p) {
  return std::sqrt(static_cast<double>(p.m) * static_cast<double>(p.k) * static_cast<double>(p.terms)) *
         p.rms_a * p.rms_b;
}

double column_tolerance(const ProductStatistics& p) {
  const double typical = typical_column_sum(p);
  const double stored = unit_roundoff(p.c) * static_cast<double>(p.terms);
  const double in_fp32 =
      unit_roundoff(Dtype::f32) *
      (static_cast<double>(p.k) * static_cast<double>(p.terms) + static_cast<double>(p.m)) / kTermsAtATime;
  // Operands cut to 10 bits: each of a product's two is wrong by 2^-11 at most, independently of the others.
  const double multiplied = p.math == step::Gemm::Math::tf32 ? std::ldexp(std::sqrt(2.0), -10) : 0.0;
  return kDeviations * typical * std::sqrt(stored * stored + in_fp32 * in_fp32 + multiplied * multiplied);
}

ChecksumVerdict compare_column_sums(std::span<const double> expected, std::span<const double> observed,
                                    double tolerance, double typical_sum) {
  LOCKSTEP_EXPECT(expected.size() == observed.size(), "one sum for each column");
  LOCKSTEP_EXPECT(tolerance > 0.0 && typical_sum > 0.0, "a bound that nothing can keep");
  ChecksumVerdict verdict;
  double furthest = -1.0;
  for (std::size_t j = 0; j < expected.size(); ++j) {
    const double allowed = tolerance * std::max(1.0, std::abs(expected[j]) / (kDeviations * typical_sum));
    const double off = std::abs(expected[j] - observed[j]);
    const bool wrong = !(off <= allowed);  // a NaN is wrong too
    verdict.wrong_columns += wrong ? 1 : 0;
    const double excess = std::isfinite(off) ? off / allowed : HUGE_VAL;
    if (excess <= furthest)
      continue;
    furthest = excess;
    verdict.column = j;
    verdict.expected = expected[j];
    verdict.observed = observed[j];
    verdict.tolerance = allowed;
  }
  return verdict;
}

std::size_t parts_of(Dtype dtype) {
  const int bits = format_of(dtype).fraction_bits + 1;
  return static_cast<std::size_t>((kBits + bits - 1) / bits);
}

SplitVector split_vector(std::span<const float> values, Dtype dtype) {
  const Format format = format_of(dtype);
  float largest = 0.0F;
  for (const float value : values)
    largest = std::max(largest, std::abs(value));
  SplitVector split;
  std::vector<double> rest(values.begin(), values.end());
  int exponent = 0;
  static_cast<void>(std::frexp(largest, &exponent));  // |value| < 2^exponent
  const std::size_t parts = parts_of(dtype);
  for (std::size_t i = 0; i < parts; ++i) {
    // Part i holds what is left, in whole steps of 2^(exponent - (i + 1) * bits): integers up to 2^bits,
    // which the format holds exactly.
    const int bits = format.fraction_bits + 1;
    SplitVector::Part part;
    part.scale = dtype == Dtype::f32 ? 1.0 : std::ldexp(1.0, exponent - static_cast<int>(i + 1) * bits);
    part.values.reserve(rest.size());
    for (double& value : rest) {
      const auto taken = static_cast<float>(dtype == Dtype::f32 ? value : std::nearbyint(value / part.scale));
      part.values.push_back(taken);
      value -= static_cast<double>(taken) * part.scale;
    }
    split.parts.push_back(std::move(part));
  }
  return split;
}

std::vector<std::byte> encode(std::span<const float> values, Dtype dtype) {
  const Format format = format_of(dtype);
  std::vector<std::byte> bytes(values.size() * static_cast<std::size_t>(format.bytes));
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto bits = std::bit_cast<std::uint32_t>(values[i]);
    const std::uint32_t magnitude = bits & 0x7fffffffU;
    std::uint32_t code = 0;
    if (magnitude != 0) {
      const auto exponent = static_cast<int>(magnitude >> 23) - 127 + format.bias;
      LOCKSTEP_EXPECT(exponent > 0, "too small for the format");
      code = static_cast<std::uint32_t>(exponent) << format.fraction_bits |
             ((magnitude & 0x7fffffU) >> (23 - format.fraction_bits));
    }
    code |= (bits >> 31) << (8 * format.bytes - 1);
    std::memcpy(bytes.data() + i * static_cast<std::size_t>(format.bytes), &code,
                static_cast<std::size_t>(format.bytes));
  }
  return bytes;
}

float decode(const std::byte* bytes, Dtype dtype) {
  const Format format = format_of(dtype);
  std::uint32_t code = 0;
  std::memcpy(&code, bytes, static_cast<std::size_t>(format.bytes));
  const std::uint32_t sign = code >> (8 * format.bytes - 1) & 1U;
  const std::uint32_t fraction = code & ((1U << format.fraction_bits) - 1);
  const int exponent_bits = 8 * format.bytes - 1 - format.fraction_bits;
  const auto exponent = static_cast<int>(code >> format.fraction_bits & ((1U << exponent_bits) - 1));
  const int least = 1 - format.bias - format.fraction_bits;
  const float magnitude =
      exponent == 0
          ? std::ldexp(static_cast<float>(fraction), least)
          : std::ldexp(static_cast<float>(fraction | 1U << format.fraction_bits), exponent - 1 + least);
  return sign != 0 ? -magnitude : magnitude;
}

}  // namespace lockstep::compute
