#include "harness/compute/sgemm_library.hpp"

#include <cstdio>
#include <functional>
#include <vector>

#include <gmock/gmock.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness/core/error.hpp"
#include "harness/core/hash.hpp"

namespace lockstep::compute {
namespace {

using Layout = step::Gemm::Layout;

/// Integers in -8..8: every product below is exact, in any order of summation.
std::vector<float> integers(std::uint64_t elements, std::uint64_t seed) {
  std::vector<float> values(elements);
  for (std::uint64_t i = 0; i < elements; ++i)
    values[i] = static_cast<float>(static_cast<int>(mix64(seed + i) % 17) - 8);
  return values;
}

/// Written from the definition, element by element, with explicit transposed copies.
std::vector<float> naive(const GemmShape& shape, const std::vector<float>& stored_a,
                         const std::vector<float>& stored_b, std::vector<float> c) {
  std::vector<std::vector<double>> a(shape.m, std::vector<double>(shape.k));
  std::vector<std::vector<double>> b(shape.k, std::vector<double>(shape.n));
  std::size_t at = 0;
  const bool a_is_transposed = shape.layout == Layout::tn;
  for (std::uint64_t row = 0; row < (a_is_transposed ? shape.k : shape.m); ++row) {
    for (std::uint64_t column = 0; column < (a_is_transposed ? shape.m : shape.k); ++column, ++at)
      (a_is_transposed ? a[column][row] : a[row][column]) = static_cast<double>(stored_a[at]);
  }
  at = 0;
  const bool b_is_transposed = shape.layout == Layout::nt;
  for (std::uint64_t row = 0; row < (b_is_transposed ? shape.n : shape.k); ++row) {
    for (std::uint64_t column = 0; column < (b_is_transposed ? shape.k : shape.n); ++column, ++at)
      (b_is_transposed ? b[column][row] : b[row][column]) = static_cast<double>(stored_b[at]);
  }
  for (std::uint64_t row = 0; row < shape.m; ++row) {
    for (std::uint64_t column = 0; column < shape.n; ++column) {
      double sum = static_cast<double>(c[row * shape.n + column]);
      for (std::uint64_t i = 0; i < shape.k; ++i)
        sum += a[row][i] * b[i][column];
      c[row * shape.n + column] = static_cast<float>(sum);
    }
  }
  return c;
}

bool all_products_right(const SgemmLibrary& library) {
  constexpr std::uint64_t kShapes[][3] = {{1, 1, 1},   {2, 3, 5},     {64, 64, 64}, {1, 200, 70},
                                          {129, 1, 9}, {33, 127, 65}, {96, 48, 1},  {130, 70, 257}};
  for (const auto& extents : kShapes) {
    for (const Layout layout : {Layout::nn, Layout::nt, Layout::tn}) {
      const GemmShape shape{extents[0], extents[1], extents[2], layout};
      const std::vector<float> a = integers(shape.m * shape.k, 11);
      const std::vector<float> b = integers(shape.k * shape.n, 22);
      const std::vector<float> start = integers(shape.m * shape.n, 33);
      std::vector<float> replaced = start;
      library.multiply(shape, a.data(), b.data(), GemmTarget::replace, replaced.data());
      std::vector<float> added = start;
      library.multiply(shape, a.data(), b.data(), GemmTarget::accumulate, added.data());
      if (replaced != naive(shape, a, b, std::vector<float>(start.size(), 0.0F)) ||
          added != naive(shape, a, b, start)) {
        std::fprintf(stderr, "%s: wrong at m %lu n %lu k %lu layout %d\n", library.kernel().name.c_str(),
                     shape.m, shape.n, shape.k, static_cast<int>(layout));
        return false;
      }
    }
  }
  return true;
}

/// Exit status of a child that runs `body`: a library picks its kernel once per process.
int in_child(const std::function<bool()>& body) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    bool good = false;
    try {
      good = body();
    } catch (const std::exception& error) {
      std::fprintf(stderr, "%s\n", error.what());
    }
    ::_exit(good ? 0 : 1);
  }
  int status = -1;
  ::waitpid(pid, &status, 0);
  return status;
}

std::vector<CatalogEntry> kernels_here() {
  return list_kernels(read_cpu_features(), find_blas_libraries(library_folders()));
}

TEST(SgemmLibrary, EveryKernelOfThisMachineComputesEveryLayoutExactly) {
  ASSERT_FALSE(kernels_here().empty()) << "the tests need a BLAS library, such as libopenblas0-serial";
  for (const CatalogEntry& entry : kernels_here()) {
    EXPECT_EQ(in_child([&entry] { return all_products_right(SgemmLibrary::load(entry.kernel)); }), 0)
        << entry.kernel.name;
  }
}

TEST(SgemmLibrary, TheQuickCheckAcceptsEveryKernelOfThisMachine) {
  for (const CatalogEntry& entry : kernels_here()) {
    EXPECT_EQ(in_child([&entry] { return multiplies_exactly(SgemmLibrary::load(entry.kernel)); }), 0)
        << entry.kernel.name;
  }
}

TEST(SgemmLibrary, RunsOnOneThread) {
  ::setenv("OMP_NUM_THREADS", "4", 1);
  for (const CatalogEntry& entry : kernels_here()) {
    const auto alone = [&entry] {
      const SgemmLibrary library = SgemmLibrary::load(entry.kernel);
      static_cast<void>(measure_rate(library, 512, 0.0));
      // Field 20 of /proc/self/stat counts threads; the name in field 2 has no space here.
      std::FILE* file = std::fopen("/proc/self/stat", "r");
      long threads = 0;
      const int read = std::fscanf(
          file, "%*d %*s %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %ld", &threads);
      std::fclose(file);
      return read == 1 && threads == 1;
    };
    EXPECT_EQ(in_child(alone), 0) << entry.kernel.name;
  }
  ::unsetenv("OMP_NUM_THREADS");
}

TEST(SgemmLibrary, TellsItsRateAndChecksIt) {
  const GemmKernel kernel = best_by_features(kernels_here()).kernel;
  const auto body = [&kernel] {
    const SgemmLibrary library = SgemmLibrary::load(kernel);
    const GemmRate rate = measure_rate(library, 192, 0.0, 5);
    const GemmRate longer = measure_rate(library, 64, 10.0, 5);
    return rate.correct && rate.extent == 192 && rate.repetitions == 1 && rate.gflops > 0.0 &&
           longer.repetitions == 5;
  };
  EXPECT_EQ(in_child(body), 0);
}

TEST(SgemmLibrary, AForcedCoreIsWhatRuns) {
  for (const CatalogEntry& entry : kernels_here()) {
    const auto body = [&entry] {
      ::setenv("OPENBLAS_CORETYPE", "Prescott", 1);  // a leftover of the caller's shell
      const SgemmLibrary library = SgemmLibrary::load(entry.kernel);
      const std::string_view asked = asked_core(entry.kernel);
      return asked.empty() ? library.kernel().core_name != "Prescott"
                           : same_core(asked, library.kernel().core_name);
    };
    EXPECT_EQ(in_child(body), 0) << entry.kernel.name;
  }
}

TEST(SgemmLibrary, RefusesWhatItCannotUse) {
  GemmKernel kernel;
  kernel.name = "openblas";
  kernel.library_path = "/nowhere/libopenblas.so.0";
  EXPECT_THROW(static_cast<void>(SgemmLibrary::load(kernel)), RunError);
  kernel.library_path = "libm.so.6";  // a library without GEMM
  EXPECT_THROW(static_cast<void>(SgemmLibrary::load(kernel)), RunError);
}

}  // namespace
}  // namespace lockstep::compute
