#include <algorithm>
#include <array>
#include <cmath>
#include <ctime>
#include <vector>

#include "harness/compute/sgemm_library.hpp"
#include "harness/core/clock.hpp"
#include "harness/core/hash.hpp"
#include "harness/core/units.hpp"

namespace lockstep::compute {
namespace {

double thread_cpu_s() {
  timespec t{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

double wall_s() {
  return seconds_from_ns(monotonic_ns());
}

/// Uniform in [-1, 1).
std::vector<float> random_matrix(std::uint64_t elements, std::uint64_t seed) {
  std::vector<float> values(elements);
  for (std::uint64_t i = 0; i < elements; ++i)
    values[i] = static_cast<float>(static_cast<std::int64_t>(mix64(seed + i) >> 40) - (1 << 23)) / (1 << 23);
  return values;
}

/// Integers in -4..4: products of up to a million terms are exact in single precision, in any order of
/// summation.
std::vector<float> integer_matrix(std::uint64_t elements, std::uint64_t seed) {
  std::vector<float> values(elements);
  for (std::uint64_t i = 0; i < elements; ++i)
    values[i] = static_cast<float>(static_cast<int>(mix64(seed + i) % 9) - 4);
  return values;
}

/// Element (row, column) of op(A) * op(B), summed in double precision.
double expected_element(const GemmShape& shape, const std::vector<float>& a, const std::vector<float>& b,
                        std::uint64_t row, std::uint64_t column) {
  double sum = 0.0;
  for (std::uint64_t i = 0; i < shape.k; ++i) {
    const float left = shape.layout == step::Gemm::Layout::tn ? a[i * shape.m + row] : a[row * shape.k + i];
    const float right =
        shape.layout == step::Gemm::Layout::nt ? b[column * shape.k + i] : b[i * shape.n + column];
    sum += static_cast<double>(left) * static_cast<double>(right);
  }
  return sum;
}

bool samples_agree(const GemmShape& shape, const std::vector<float>& a, const std::vector<float>& b,
                   const std::vector<float>& c) {
  constexpr int kSamples = 32;
  // Rounding in any order of summation stays far below k * epsilon for operands in [-1, 1).
  const double tolerance = static_cast<double>(shape.k) * 1.2e-7;
  for (std::uint64_t i = 0; i < kSamples; ++i) {
    const std::uint64_t row = mix64(2 * i) % shape.m;
    const std::uint64_t column = mix64(2 * i + 1) % shape.n;
    const double difference =
        expected_element(shape, a, b, row, column) - static_cast<double>(c[row * shape.n + column]);
    if (!(std::abs(difference) <= tolerance))  // a NaN is wrong too
      return false;
  }
  return true;
}

bool exact(const SgemmLibrary& library, const GemmShape& shape, GemmTarget target) {
  const std::vector<float> a = integer_matrix(shape.m * shape.k, 1);
  const std::vector<float> b = integer_matrix(shape.k * shape.n, 2);
  const std::vector<float> before = integer_matrix(shape.m * shape.n, 3);
  std::vector<float> c = before;
  library.multiply(shape, a.data(), b.data(), target, c.data());
  for (std::uint64_t row = 0; row < shape.m; ++row) {
    for (std::uint64_t column = 0; column < shape.n; ++column) {
      const std::uint64_t at = row * shape.n + column;
      const double added = target == GemmTarget::accumulate ? static_cast<double>(before[at]) : 0.0;
      if (static_cast<double>(c[at]) != expected_element(shape, a, b, row, column) + added)
        return false;
    }
  }
  return true;
}

}  // namespace

GemmRate measure_rate(const SgemmLibrary& library, std::uint64_t extent, double budget_s,
                      int max_repetitions) {
  const GemmShape shape{extent, extent, extent, step::Gemm::Layout::nn};
  const std::vector<float> a = random_matrix(extent * extent, 1);
  const std::vector<float> b = random_matrix(extent * extent, extent * extent + 1);
  std::vector<float> c(extent * extent, 0.0F);
  const double give_up_s = wall_s() + budget_s;
  library.multiply(shape, a.data(), b.data(), GemmTarget::replace,
                   c.data());  // pages, caches, generated code
  GemmRate rate;
  rate.extent = extent;
  double best_s = 0.0;
  do {
    const double begin_s = thread_cpu_s();
    library.multiply(shape, a.data(), b.data(), GemmTarget::replace, c.data());
    const double took_s = thread_cpu_s() - begin_s;
    best_s = rate.repetitions == 0 ? took_s : std::min(best_s, took_s);
    ++rate.repetitions;
  } while (rate.repetitions < max_repetitions && wall_s() + best_s < give_up_s);
  rate.gflops = best_s > 0.0 ? shape.flops() / best_s * 1e-9 : 0.0;
  rate.correct = samples_agree(shape, a, b, c);
  return rate;
}

bool multiplies_exactly(const SgemmLibrary& library) {
  using Layout = step::Gemm::Layout;
  // Odd extents reach the edges of the kernels' tiles.
  for (const auto& [m, n, k] : {std::array<std::uint64_t, 3>{67, 45, 131}, {1, 33, 17}, {40, 64, 96}}) {
    for (const Layout layout : {Layout::nn, Layout::nt, Layout::tn}) {
      for (const GemmTarget target : {GemmTarget::replace, GemmTarget::accumulate}) {
        if (!exact(library, {m, n, k, layout}, target))
          return false;
      }
    }
  }
  return true;
}

double measure_peak_gflops(const SgemmLibrary& library) {
  const GemmRate small = measure_rate(library, 1024, 0.12);
  constexpr double kFlopsAt2048 = 2.0 * 2048 * 2048 * 2048;
  if (small.gflops <= 0.0 || kFlopsAt2048 / (small.gflops * 1e9) > 0.25)
    return small.gflops;
  return std::max(small.gflops, measure_rate(library, 2048, 0.4, 3).gflops);
}

}  // namespace lockstep::compute
