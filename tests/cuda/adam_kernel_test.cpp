#include <cmath>
#include <vector>

#include <gmock/gmock.h>

#include "harness/core/hash.hpp"
#include "harness/cuda/build_config.hpp"
#include "harness/cuda/device.hpp"
#include "harness/cuda/runtime_compiler.hpp"
#include "tests/cuda/adam_kernel_on_host.hpp"

namespace lockstep::cuda {
namespace {

using ::testing::HasSubstr;
using testing::narrow_on_host;

detail::AdamArguments format(Element element) {
  AdamArrays arrays;
  arrays.copy_type = element;
  return detail::adam_arguments(arrays, {});
}

double value_of(unsigned code, const detail::AdamArguments& f) {
  const int bits = 8 * f.copy_bytes;
  const unsigned fraction = code & ((1U << f.fraction_bits) - 1);
  const auto exponent = static_cast<int>((code & ((1U << (bits - 1)) - 1)) >> f.fraction_bits);
  const double magnitude =
      exponent == 0 ? std::ldexp(fraction, 1 - f.exponent_bias - f.fraction_bits)
                    : std::ldexp(1.0 + std::ldexp(fraction, -f.fraction_bits), exponent - f.exponent_bias);
  return (code >> (bits - 1)) != 0 ? -magnitude : magnitude;
}

TEST(AdamKernel, EveryCodeOfAFormatIsItsOwn) {
  for (const Element element : {Element::bf16, Element::f16, Element::e4m3, Element::e5m2}) {
    const detail::AdamArguments f = format(element);
    for (unsigned code = 0; code <= f.largest; ++code) {
      const auto value = static_cast<float>(value_of(code, f));
      ASSERT_EQ(narrow_on_host(value, f), code) << to_string(element);
      ASSERT_EQ(narrow_on_host(-value, f), code | 1U << (8 * f.copy_bytes - 1)) << to_string(element);
    }
  }
}

TEST(AdamKernel, BetweenTwoCodesItTakesTheNearestAndOfTwoTheEvenOne) {
  for (const Element element : {Element::bf16, Element::f16, Element::e4m3, Element::e5m2}) {
    const detail::AdamArguments f = format(element);
    for (unsigned code = 0; code < f.largest; code += 1 + code / 64) {
      const double low = value_of(code, f);
      const double high = value_of(code + 1, f);
      const auto middle = static_cast<float>(0.5 * (low + high));
      EXPECT_EQ(narrow_on_host(middle, f), code % 2 == 0 ? code : code + 1)
          << to_string(element) << " " << code;
      EXPECT_EQ(narrow_on_host(std::nextafter(middle, 0.0F), f), code) << to_string(element);
      EXPECT_EQ(narrow_on_host(std::nextafter(middle, 1e38F), f), code + 1) << to_string(element);
    }
  }
}

TEST(AdamKernel, WhatIsTooLargeBecomesTheLargest) {
  for (const Element element : {Element::bf16, Element::f16, Element::e4m3, Element::e5m2}) {
    const detail::AdamArguments f = format(element);
    EXPECT_EQ(narrow_on_host(3.4e38F, f), f.largest);
    EXPECT_EQ(narrow_on_host(HUGE_VALF, f), f.largest);
    EXPECT_EQ(narrow_on_host(-HUGE_VALF, f), f.largest | 1U << (8 * f.copy_bytes - 1));
  }
  EXPECT_EQ(value_of(format(Element::e4m3).largest, format(Element::e4m3)), 448.0);
  EXPECT_EQ(value_of(format(Element::e5m2).largest, format(Element::e5m2)), 57344.0);
  EXPECT_EQ(value_of(format(Element::f16).largest, format(Element::f16)), 65504.0);
}

TEST(AdamKernel, UpdatesEveryElementOnceAndWritesTheCopy) {
  constexpr std::size_t kElements = 47;  // more than the grid's threads, and no multiple of them
  std::vector<float> g(kElements), p(kElements), m(kElements), v(kElements);
  for (std::size_t i = 0; i < kElements; ++i) {
    const auto random = [&](std::uint64_t seed) {
      return static_cast<float>(mix64(seed + i) % 1000) / 500.0F - 1.0F;
    };
    g[i] = random(1);
    p[i] = random(2);
    m[i] = random(3);
    v[i] = std::abs(random(4));
  }
  const std::vector<float> p0 = p, m0 = m, v0 = v;
  std::vector<std::uint16_t> copy(kElements + 1, 0x1234);
  AdamArrays arrays;
  arrays.elements = kElements;
  arrays.gradients = g.data();
  arrays.parameters = p.data();
  arrays.first_moments = m.data();
  arrays.second_moments = v.data();
  arrays.copy = copy.data();
  arrays.copy_type = Element::bf16;
  const AdamCoefficients c{0.125F, 0.9F, 0.999F, 1e-8F, 0.5F};
  const detail::AdamArguments arguments = detail::adam_arguments(arrays, c);
  testing::adam_kernel_on_host(arguments);
  for (std::size_t i = 0; i < kElements; ++i) {
    const double first = 0.9 * static_cast<double>(m0[i]) + 0.1 * static_cast<double>(g[i]);
    const double second =
        0.999 * static_cast<double>(v0[i]) + 0.001 * static_cast<double>(g[i]) * static_cast<double>(g[i]);
    const double expected = static_cast<double>(p0[i]) -
                            0.125 * (first / (std::sqrt(second) + 1e-8) + 0.5 * static_cast<double>(p0[i]));
    EXPECT_NEAR(static_cast<double>(m[i]), first, 1e-6);
    EXPECT_NEAR(static_cast<double>(v[i]), second, 1e-6);
    EXPECT_NEAR(static_cast<double>(p[i]), expected, 1e-4 * (1.0 + std::abs(expected)));
    EXPECT_EQ(copy[i], testing::narrow_on_host(p[i], arguments));
  }
  EXPECT_EQ(copy[kElements], 0x1234) << "written beyond the end";
}

TEST(AdamKernel, IsCompiledForTheCardsOfTheDay) {
  if (!has_runtime_compiler())
    GTEST_SKIP() << "NVRTC is not on this machine";
  for (const int major : {8, 9, 10}) {
    const std::vector<char> code = compile_kernel(adam_kernel_source(), "adam_kernel.cu", major, 0);
    EXPECT_THAT(std::string(code.begin(), code.end()), HasSubstr("adam_update"));
    EXPECT_EQ(std::string(code.begin() + 1, code.begin() + 4), "ELF");
  }
}

TEST(AdamKernel, AnErrorInAKernelIsTold) {
  if (!has_runtime_compiler())
    GTEST_SKIP() << "NVRTC is not on this machine";
  try {
    static_cast<void>(compile_kernel("extern \"C\" __global__ void f() { nonsense; }", "broken.cu", 9, 0));
    FAIL() << "compiled";
  } catch (const CudaError& error) {
    EXPECT_THAT(error.what(), HasSubstr("nonsense"));
    EXPECT_THAT(error.what(), HasSubstr("broken.cu"));
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
  }
  EXPECT_THROW(static_cast<void>(compile_kernel(adam_kernel_source(), "adam_kernel.cu", 1, 0)), CudaError)
      << "no card of this kind was ever supported";
}

}  // namespace
}  // namespace lockstep::cuda
