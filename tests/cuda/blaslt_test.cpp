#include "harness/cuda/blaslt.hpp"

#include <cmath>
#include <cstdlib>
#include <vector>

#include <gmock/gmock.h>

#include "harness/core/hash.hpp"
#include "harness/cuda/device.hpp"
#include "tests/cuda/fake_device.hpp"

// The real code of this room against a library that computes on the host what it is told to
// (fake_cublaslt.cpp).
namespace lockstep::cuda {
namespace {

using Layout = MatmulProblem::Layout;
using ::testing::HasSubstr;

struct Matrices {
  std::vector<float> a, b, c, vector, extra;
};

/// Integers, so that every sum is exact.
std::vector<float> integers(std::uint64_t count, std::uint64_t seed) {
  std::vector<float> values(count);
  for (std::uint64_t i = 0; i < count; ++i)
    values[i] = static_cast<float>(static_cast<int>(mix64(seed + i) % 9) - 4);
  return values;
}

Matrices matrices_of(const MatmulProblem& p) {
  return {integers(p.batch * p.m * p.k, 1), integers(p.batch * p.k * p.n, 2),
          integers(p.batch * p.m * p.n, 3), integers(p.n, 4), integers(p.m * p.n, 5)};
}

float product_at(const MatmulProblem& p, const Matrices& x, std::uint64_t i, std::uint64_t row,
                 std::uint64_t column) {
  float sum = p.accumulate ? x.c[i * p.m * p.n + row * p.n + column] : 0.0F;
  for (std::uint64_t l = 0; l < p.k; ++l)
    sum += x.a[i * p.m * p.k + (p.layout == Layout::tn ? l * p.m + row : row * p.k + l)] *
           x.b[i * p.k * p.n + (p.layout == Layout::nt ? column * p.k + l : l * p.n + column)];
  return sum;
}

float gelu(float x) {
  return 0.5F * x * (1.0F + std::tanh(0.7978845608F * (x + 0.044715F * x * x * x)));
}

class BlasLtTest : public ::testing::Test {
 protected:
  BlasLtTest() { testing::fake_device() = {}; }

  /// Runs it in f32 and leaves the results in `x`.
  void run(const MatmulProblem& problem, Matrices& x, const MatmulAlgorithm* algorithm = nullptr) {
    const BlasLt library;
    Matmul matmul(library, problem);
    const std::vector<MatmulAlgorithm> candidates = matmul.candidates(8, 1 << 20);
    ASSERT_FALSE(candidates.empty());
    const auto on_device = [](const std::vector<float>& values) {
      DeviceMemory memory(values.size() * sizeof(float));
      memory.copy_from_host(std::as_bytes(std::span(values)));
      return memory;
    };
    const DeviceMemory a = on_device(x.a);
    const DeviceMemory b = on_device(x.b);
    const DeviceMemory c = on_device(x.c);
    const DeviceMemory vector = on_device(x.vector);
    const DeviceMemory extra = on_device(x.extra);
    const DeviceMemory workspace(1 << 20);
    MatmulOperands operands;
    operands.a = a.data();
    operands.b = b.data();
    operands.c = c.data();
    if (has_vector(problem.epilogue))
      operands.vector = vector.data();
    if (has_extra_matrix(problem.epilogue))
      operands.extra_matrix = extra.data();
    const Stream stream;
    matmul.run(algorithm != nullptr ? *algorithm : candidates.front(), operands,
               {static_cast<std::byte*>(workspace.data()), workspace.bytes()}, stream);
    stream.synchronize();
    c.copy_to_host(std::as_writable_bytes(std::span(x.c)));
    vector.copy_to_host(std::as_writable_bytes(std::span(x.vector)));
    extra.copy_to_host(std::as_writable_bytes(std::span(x.extra)));
  }
};

MatmulProblem problem(std::uint64_t m, std::uint64_t n, std::uint64_t k, Layout layout = Layout::nn) {
  MatmulProblem made;
  made.m = m;
  made.n = n;
  made.k = k;
  made.layout = layout;
  return made;
}

TEST_F(BlasLtTest, MultipliesRowMajorMatricesInEveryLayout) {
  for (const Layout layout : {Layout::nn, Layout::nt, Layout::tn}) {
    for (const bool accumulate : {false, true}) {
      MatmulProblem p = problem(5, 7, 11, layout);
      p.batch = 3;
      p.accumulate = accumulate;
      const Matrices before = matrices_of(p);
      Matrices after = before;
      run(p, after);
      for (std::uint64_t i = 0; i < 3; ++i) {
        for (std::uint64_t row = 0; row < 5; ++row) {
          for (std::uint64_t column = 0; column < 7; ++column)
            ASSERT_EQ(after.c[i * 35 + row * 7 + column], product_at(p, before, i, row, column))
                << name_of(p) << " " << i << " " << row << " " << column;
        }
      }
    }
  }
}

TEST_F(BlasLtTest, EpiloguesActOnRowsAndColumnsAsDocumented) {
  for (const Epilogue epilogue :
       {Epilogue::bias, Epilogue::gelu, Epilogue::gelu_bias, Epilogue::gelu_aux_bias, Epilogue::dgelu,
        Epilogue::dgelu_bgrad, Epilogue::bgrad}) {
    MatmulProblem p = problem(6, 8, 4, epilogue == Epilogue::bgrad ? Layout::tn : Layout::nn);
    p.epilogue = epilogue;
    const Matrices before = matrices_of(p);
    Matrices after = before;
    run(p, after);
    std::vector<float> columns(8, 0.0F);
    for (std::uint64_t row = 0; row < 6; ++row) {
      for (std::uint64_t column = 0; column < 8; ++column) {
        const float product = product_at(p, before, 0, row, column);
        const float with_bias = product + before.vector[column];
        const float found = after.c[row * 8 + column];
        columns[column] += found;
        const float x = before.extra[row * 8 + column];
        const float slope = (gelu(x + 1e-2F) - gelu(x - 1e-2F)) / 2e-2F;
        switch (epilogue) {
          case Epilogue::bias:
            EXPECT_EQ(found, with_bias);
            break;
          case Epilogue::gelu:
            EXPECT_NEAR(found, gelu(product), 1e-3F);
            break;
          case Epilogue::gelu_aux_bias:
            EXPECT_EQ(after.extra[row * 8 + column], with_bias);
            [[fallthrough]];
          case Epilogue::gelu_bias:
            EXPECT_NEAR(found, gelu(with_bias), 1e-3F);
            break;
          case Epilogue::dgelu:
          case Epilogue::dgelu_bgrad:
            EXPECT_NEAR(found, product * slope, 2e-2F);
            break;
          default:
            EXPECT_EQ(found, product);
        }
      }
    }
    for (std::uint64_t column = 0; column < 8; ++column) {
      if (epilogue == Epilogue::dgelu_bgrad) {
        EXPECT_NEAR(after.vector[column], columns[column], 1e-3F);
      }
      if (epilogue == Epilogue::bgrad) {
        float sum = 0.0F;
        for (std::uint64_t l = 0; l < 4; ++l)
          sum += before.b[l * 8 + column];
        EXPECT_EQ(after.vector[column], sum);
      }
    }
  }
}

TEST_F(BlasLtTest, Fp8IsMultipliedWithItsScales) {
  MatmulProblem p = problem(16, 32, 16, Layout::nt);
  p.a = Element::e4m3;
  p.b = Element::e5m2;
  p.c = Element::f32;
  p.scaled = true;
  const BlasLt library;
  Matmul matmul(library, p);
  DeviceMemory a(16 * 16);
  DeviceMemory b(32 * 16);
  DeviceMemory c(16 * 32 * sizeof(float));
  a.copy_from_host(std::vector<std::byte>(16 * 16, std::byte{0x3c}));  // 1.5 in e4m3
  b.copy_from_host(std::vector<std::byte>(32 * 16, std::byte{0xc0}));  // -2 in e5m2
  DeviceMemory scales(2 * sizeof(float));
  const float values[] = {0.5F, 8.0F};
  scales.copy_from_host(std::as_bytes(std::span(values)));
  MatmulOperands operands;
  operands.a = a.data();
  operands.b = b.data();
  operands.c = c.data();
  operands.a_scale = static_cast<const float*>(scales.data());
  operands.b_scale = operands.a_scale + 1;
  const Stream stream;
  matmul.run(matmul.candidates(1, 0).at(0), operands, {}, stream);
  std::vector<float> result(16 * 32);
  c.copy_to_host(std::as_writable_bytes(std::span(result)));
  EXPECT_THAT(result, ::testing::Each(16.0F * 1.5F * -2.0F * 0.5F * 8.0F));
}

TEST_F(BlasLtTest, CandidatesKeepToTheWorkspace) {
  const BlasLt library;
  const Matmul matmul(library, problem(4, 4, 4));
  EXPECT_EQ(matmul.candidates(8, 0).size(), 1U);
  EXPECT_EQ(matmul.candidates(8, 1 << 20).size(), 4U);
  EXPECT_EQ(matmul.candidates(2, 1 << 20).size(), 2U);
  for (const MatmulAlgorithm& algorithm : matmul.candidates(8, 100000))
    EXPECT_LE(algorithm.workspace_bytes, 100000U);
}

TEST_F(BlasLtTest, AForeignAlgorithmIsNotAccepted) {
  const BlasLt library;
  const Matmul matmul(library, problem(4, 4, 4));
  MatmulAlgorithm own = matmul.candidates(3, 1 << 20).at(2);
  MatmulAlgorithm same = own;
  same.workspace_bytes = 1;
  EXPECT_TRUE(matmul.accepts(same, 1 << 20));
  EXPECT_EQ(same, own) << "the workspace is the library's word";
  EXPECT_FALSE(matmul.accepts(own, own.workspace_bytes - 1));
  MatmulAlgorithm foreign = own;
  foreign.words[0] ^= 1;
  EXPECT_FALSE(matmul.accepts(foreign, 1 << 20));
}

TEST_F(BlasLtTest, ARefusalIsACheckedError) {
  Matrices x = matrices_of(problem(4, 4, 4));
  const BlasLt library;
  const Matmul matmul(library, problem(4, 4, 4));
  const MatmulAlgorithm refused = matmul.candidates(2, 1 << 20).at(1);
  try {
    run(problem(4, 4, 4), x, &refused);
    FAIL() << "ran";
  } catch (const CudaError& error) {
    EXPECT_THAT(error.what(), HasSubstr("cublasLtMatmul"));
    EXPECT_THAT(error.what(), HasSubstr("CUBLAS_STATUS_NOT_SUPPORTED"));
  }
  MatmulProblem impossible = problem(4, 4, 4);
  impossible.b = Element::bf16;
  EXPECT_THROW(Matmul(library, impossible), CudaError);
}

TEST_F(BlasLtTest, TheLibraryIsTheOneThatWasNamed) {
  EXPECT_EQ(cublaslt_path(), std::getenv("LOCKSTEP_CUBLASLT"));
  EXPECT_THAT(cublaslt_version(), ::testing::EndsWith(".9.9"));
}

}  // namespace
}  // namespace lockstep::cuda

int main(int argc, char** argv) {
  ::setenv("LOCKSTEP_CUBLASLT", FAKE_CUBLASLT, 1);
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
