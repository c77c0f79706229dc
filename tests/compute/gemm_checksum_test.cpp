#include "harness/compute/gemm_checksum.hpp"

#include <cmath>
#include <limits>
#include <vector>

#include <gmock/gmock.h>

#include "harness/core/hash.hpp"

namespace lockstep::compute {
namespace {

using step::Dtype;

constexpr std::uint64_t kM = 24;
constexpr std::uint64_t kN = 17;
constexpr std::uint64_t kK = 40;

/// Nearest number of the format, as a store would leave it.
float stored(float value, Dtype dtype) {
  if (dtype == Dtype::f32)
    return value;
  const double unit = 2.0 * unit_roundoff(dtype);
  int exponent = 0;
  const double fraction = std::frexp(static_cast<double>(value), &exponent);
  return static_cast<float>(std::ldexp(std::nearbyint(fraction * 2.0 / unit) * unit / 2.0, exponent));
}

struct Example {
  std::vector<float> a, b, c;
  explicit Example(Dtype dtype, std::uint64_t seed = 1) {
    const auto random = [&](std::uint64_t count, std::uint64_t which) {
      std::vector<float> values(count);
      for (std::uint64_t i = 0; i < count; ++i)
        values[i] =
            stored(static_cast<float>(static_cast<double>(mix64(seed * 1000003 + which * 7919 + i) >> 40) /
                                          static_cast<double>(1 << 23) -
                                      1.0),
                   dtype);
      return values;
    };
    a = random(kM * kK, 1);
    b = random(kK * kN, 2);
    c.resize(kM * kN);
    for (std::uint64_t i = 0; i < kM; ++i) {
      for (std::uint64_t j = 0; j < kN; ++j) {
        float sum = 0.0F;
        for (std::uint64_t l = 0; l < kK; ++l)
          sum += a[i * kK + l] * b[l * kN + j];
        c[i * kN + j] = stored(sum, dtype);
      }
    }
  }
  [[nodiscard]] ChecksumVerdict check(Dtype dtype) const {
    std::vector<float> sums_of_a(kK, 0.0F);
    for (std::uint64_t i = 0; i < kM; ++i) {
      for (std::uint64_t l = 0; l < kK; ++l)
        sums_of_a[l] += a[i * kK + l];
    }
    std::vector<double> expected(kN, 0.0);
    for (const SplitVector::Part& part : split_vector(sums_of_a, dtype).parts) {
      for (std::uint64_t j = 0; j < kN; ++j) {
        double sum = 0.0;
        for (std::uint64_t l = 0; l < kK; ++l)
          sum += static_cast<double>(part.values[l]) * static_cast<double>(b[l * kN + j]);
        expected[j] += part.scale * sum;
      }
    }
    std::vector<double> observed(kN, 0.0);
    for (std::uint64_t i = 0; i < kM; ++i) {
      for (std::uint64_t j = 0; j < kN; ++j)
        observed[j] += static_cast<double>(c[i * kN + j]);
    }
    const ProductStatistics p{kM, kK, 0.577, 0.577, 1, dtype, step::Gemm::Math::full};
    return compare_column_sums(expected, observed, column_tolerance(p), typical_column_sum(p));
  }
};

TEST(GemmChecksum, ACorrectProductPassesInEveryFormat) {
  for (const Dtype dtype : {Dtype::f32, Dtype::bf16, Dtype::f16}) {
    for (std::uint64_t seed = 1; seed <= 50; ++seed) {
      const ChecksumVerdict verdict = Example(dtype, seed).check(dtype);
      ASSERT_EQ(verdict.wrong_columns, 0U) << to_string(dtype) << " seed " << seed << ": " << verdict.expected
                                           << " " << verdict.observed << " +- " << verdict.tolerance;
    }
  }
}

TEST(GemmChecksum, AWrongElementIsFoundAtEveryPosition) {
  for (const Dtype dtype : {Dtype::f32, Dtype::bf16, Dtype::f16}) {
    const ProductStatistics p{kM, kK, 0.577, 0.577, 1, dtype, step::Gemm::Math::full};
    const auto error = static_cast<float>(2.1 * column_tolerance(p));
    const Example right(dtype);
    for (std::uint64_t i = 0; i < kM; ++i) {
      for (std::uint64_t j = 0; j < kN; ++j) {
        Example wrong = right;
        wrong.c[i * kN + j] += (i + j) % 2 == 0 ? error : -error;
        const ChecksumVerdict verdict = wrong.check(dtype);
        ASSERT_EQ(verdict.wrong_columns, 1U) << to_string(dtype) << " " << i << " " << j;
        ASSERT_EQ(verdict.column, j);
      }
    }
  }
}

TEST(GemmChecksum, AFlippedHighBitIsFoundAndANumberThatIsNoneToo) {
  Example wrong(Dtype::f32);
  wrong.c[3 * kN + 5] *= 65536.0F;  // a bit of the exponent
  EXPECT_EQ(wrong.check(Dtype::f32).column, 5U);
  for (const float value : {std::numeric_limits<float>::quiet_NaN(), HUGE_VALF}) {
    Example broken(Dtype::f32);
    broken.c[4 * kN + 6] = value;
    const ChecksumVerdict verdict = broken.check(Dtype::f32);
    EXPECT_EQ(verdict.wrong_columns, 1U);
    EXPECT_EQ(verdict.column, 6U);
  }
}

TEST(GemmChecksum, AWrongOperandWithRightSumsIsFoundToo) {
  // An element of B that was read wrongly while C was computed: the column of C is wrong, its checksum is
  // not.
  Example wrong(Dtype::f32);
  for (std::uint64_t i = 0; i < kM; ++i)
    wrong.c[i * kN + 2] += 0.5F * wrong.a[i * kK + 7];
  EXPECT_EQ(wrong.check(Dtype::f32).column, 2U);
}

TEST(GemmChecksum, TheBoundGrowsWithTheSizeAndTheFormat) {
  const auto tolerance = [](std::uint64_t m, std::uint64_t k, Dtype c, step::Gemm::Math math) {
    return column_tolerance({m, k, 0.577, 0.577, 1, c, math});
  };
  using Math = step::Gemm::Math;
  const double base = tolerance(1024, 1024, Dtype::f32, Math::full);
  EXPECT_GT(tolerance(4096, 1024, Dtype::f32, Math::full), base);
  EXPECT_GT(tolerance(1024, 4096, Dtype::f32, Math::full), base);
  EXPECT_GT(tolerance(1024, 1024, Dtype::bf16, Math::full), 10.0 * base);
  EXPECT_GT(tolerance(1024, 1024, Dtype::f32, Math::tf32), 10.0 * base);
  // A wrong element of a gradient of the 70B model stands out long before it is as large as its neighbours.
  const ProductStatistics p{8192, 8192, 0.577, 0.577, 1, Dtype::f32, Math::full};
  EXPECT_LT(column_tolerance(p), typical_column_sum(p) / std::sqrt(8192.0));
}

TEST(GemmChecksum, LargeSumsHaveALargerTolerance) {
  const std::vector<double> expected = {1000.0, 1.0};
  const std::vector<double> observed = {1000.9, 1.9};
  const ChecksumVerdict verdict = compare_column_sums(expected, observed, 0.1, 1.0);
  EXPECT_EQ(verdict.wrong_columns, 1U);
  EXPECT_EQ(verdict.column, 1U);
}

TEST(SplitVector, LosesNoMoreThanFp32Does) {
  std::vector<float> values(1000);
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = static_cast<float>(
        std::ldexp(static_cast<double>(mix64(i) >> 11) / 9007199254740992.0 - 0.5, static_cast<int>(i % 20)));
  float largest = 0.0F;
  for (const float value : values)
    largest = std::max(largest, std::abs(value));
  for (const Dtype dtype : {Dtype::f32, Dtype::bf16, Dtype::f16, Dtype::e4m3, Dtype::e5m2}) {
    const SplitVector split = split_vector(values, dtype);
    EXPECT_EQ(split.parts.size(), parts_of(dtype));
    std::vector<double> sums(values.size(), 0.0);
    for (const SplitVector::Part& part : split.parts) {
      const std::vector<std::byte> codes = encode(part.values, dtype);
      for (std::size_t i = 0; i < values.size(); ++i) {
        const float back = decode(codes.data() + i * bytes_of(dtype), dtype);
        ASSERT_EQ(back, part.values[i]) << to_string(dtype) << ": the format does not hold it";
        sums[i] += part.scale * static_cast<double>(back);
      }
    }
    for (std::size_t i = 0; i < values.size(); ++i)
      ASSERT_NEAR(sums[i], static_cast<double>(values[i]), std::ldexp(static_cast<double>(largest), -23))
          << to_string(dtype);
  }
  EXPECT_EQ(parts_of(Dtype::f32), 1U);
  EXPECT_EQ(parts_of(Dtype::bf16), 3U);
  EXPECT_EQ(parts_of(Dtype::f16), 3U);
  EXPECT_EQ(parts_of(Dtype::e4m3), 6U);
}

TEST(SplitVector, OfZerosIsZero) {
  const std::vector<float> zeros(3, 0.0F);
  for (const SplitVector::Part& part : split_vector(zeros, Dtype::bf16).parts)
    EXPECT_THAT(part.values, ::testing::Each(0.0F));
}

TEST(Decode, KnowsTheFormats) {
  const auto of = [](std::uint32_t code, Dtype dtype) {
    return decode(reinterpret_cast<std::byte*>(&code), dtype);
  };
  EXPECT_EQ(of(0x3f80, Dtype::bf16), 1.0F);
  EXPECT_EQ(of(0xc000, Dtype::f16), -2.0F);
  EXPECT_EQ(of(0x0001, Dtype::f16), std::ldexp(1.0F, -24));
  EXPECT_EQ(of(0x7e, Dtype::e4m3), 448.0F);
  EXPECT_EQ(of(0x7b, Dtype::e5m2), 57344.0F);
  EXPECT_EQ(of(0x3f800000, Dtype::f32), 1.0F);
}

}  // namespace
}  // namespace lockstep::compute
