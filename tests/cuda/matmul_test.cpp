#include "harness/cuda/matmul.hpp"

#include <functional>
#include <set>
#include <vector>

#include <gmock/gmock.h>

namespace lockstep::cuda {
namespace {

using Layout = MatmulProblem::Layout;
using ::testing::HasSubstr;

MatmulProblem problem(std::uint64_t m, std::uint64_t n, std::uint64_t k, Layout layout = Layout::nn,
                      Element element = Element::f32) {
  MatmulProblem made;
  made.m = m;
  made.n = n;
  made.k = k;
  made.layout = layout;
  made.a = made.b = made.c = element;
  return made;
}

/// Element (row, column) of op(matrix), from memory.
double element(const ColumnMajorMatrix& matrix, const std::vector<double>& memory, std::uint64_t row,
               std::uint64_t column) {
  if (matrix.transposed)
    std::swap(row, column);
  EXPECT_LT(row, matrix.rows);
  EXPECT_LT(column, matrix.columns);
  return memory[column * static_cast<std::uint64_t>(matrix.leading) + row];
}

TEST(Matmul, ColumnMajorProductIsTheRowMajorOne) {
  constexpr std::uint64_t m = 3;
  constexpr std::uint64_t n = 4;
  constexpr std::uint64_t k = 5;
  for (const Layout layout : {Layout::nn, Layout::nt, Layout::tn}) {
    std::vector<double> a(m * k);
    std::vector<double> b(k * n);
    for (std::size_t i = 0; i < a.size(); ++i)
      a[i] = static_cast<double>(i * i % 11) - 3.0;
    for (std::size_t i = 0; i < b.size(); ++i)
      b[i] = static_cast<double>(i * 5 % 13) - 6.0;
    const ColumnMajorProduct product = column_major(problem(m, n, k, layout));
    EXPECT_EQ(product.result.rows, n);
    EXPECT_EQ(product.result.columns, m);
    for (std::uint64_t row = 0; row < m; ++row) {
      for (std::uint64_t column = 0; column < n; ++column) {
        double expected = 0.0;
        double found = 0.0;
        for (std::uint64_t l = 0; l < k; ++l) {
          expected += a[layout == Layout::tn ? l * m + row : row * k + l] *
                      b[layout == Layout::nt ? column * k + l : l * n + column];
          found += element(product.first, b, column, l) * element(product.second, a, l, row);
        }
        ASSERT_EQ(found, expected) << static_cast<int>(layout) << " " << row << " " << column;
      }
    }
    EXPECT_EQ(product.first.stride, static_cast<std::int64_t>(k * n));
    EXPECT_EQ(product.second.stride, static_cast<std::int64_t>(m * k));
    EXPECT_EQ(product.result.stride, static_cast<std::int64_t>(m * n));
  }
}

TEST(Matmul, NamesTellEveryDifference) {
  const MatmulProblem plain = problem(8, 16, 32);
  EXPECT_EQ(name_of(plain), "nn.8x16x32.f32.f32.f32.a256");
  const std::vector<std::function<void(MatmulProblem&)>> changes = {
      [](MatmulProblem& p) { p.m = 9; },
      [](MatmulProblem& p) { p.n = 9; },
      [](MatmulProblem& p) { p.k = 9; },
      [](MatmulProblem& p) { p.batch = 2; },
      [](MatmulProblem& p) { p.layout = Layout::tn; },
      [](MatmulProblem& p) { p.a = Element::bf16; },
      [](MatmulProblem& p) { p.b = Element::bf16; },
      [](MatmulProblem& p) { p.c = Element::bf16; },
      [](MatmulProblem& p) { p.tf32 = true; },
      [](MatmulProblem& p) { p.accumulate = true; },
      [](MatmulProblem& p) { p.scaled = true; },
      [](MatmulProblem& p) { p.fast_accumulation = true; },
      [](MatmulProblem& p) { p.epilogue = Epilogue::gelu; },
      [](MatmulProblem& p) { p.alignment = 16; },
  };
  std::set<std::string> names = {name_of(plain)};
  for (const auto& change : changes) {
    MatmulProblem changed = plain;
    change(changed);
    EXPECT_TRUE(names.insert(name_of(changed)).second) << name_of(changed);
    EXPECT_EQ(name_of(changed).find(' '), std::string::npos);
  }
}

TEST(Matmul, OrdinaryProblemsArePossible) {
  for (const Element narrow : {Element::f32, Element::bf16, Element::f16}) {
    MatmulProblem p = problem(7, 5, 3, Layout::tn, narrow);
    EXPECT_EQ(why_impossible(p), "");
    p.c = Element::f32;  // a weight's gradient
    EXPECT_EQ(why_impossible(p), "");
  }
  MatmulProblem fp8 = problem(32, 48, 64, Layout::nt, Element::e4m3);
  fp8.c = Element::bf16;
  fp8.scaled = fp8.fast_accumulation = true;
  EXPECT_EQ(why_impossible(fp8), "");
  fp8.b = Element::e5m2;
  EXPECT_EQ(why_impossible(fp8), "");
}

TEST(Matmul, SaysWhyAProblemIsImpossible) {
  MatmulProblem fp8 = problem(32, 48, 64, Layout::nt, Element::e4m3);
  fp8.c = Element::bf16;
  const auto with = [](MatmulProblem p, const std::function<void(MatmulProblem&)>& change) {
    change(p);
    return why_impossible(p);
  };
  EXPECT_THAT(with(fp8, [](auto& p) { p.layout = Layout::nn; }), HasSubstr("k contiguous"));
  EXPECT_THAT(with(fp8, [](auto& p) { p.k = 72; }), HasSubstr("multiple of 16"));
  EXPECT_THAT(with(fp8, [](auto& p) { p.m = 8; }), HasSubstr("multiple of 16"));
  EXPECT_THAT(with(fp8, [](auto& p) { p.a = p.b = Element::e5m2; }), HasSubstr("both e5m2"));
  EXPECT_THAT(with(fp8, [](auto& p) { p.b = Element::bf16; }), HasSubstr("only one"));
  EXPECT_THAT(with(fp8, [](auto& p) { p.c = Element::e4m3; }), HasSubstr("C is fp8"));
  EXPECT_THAT(with(fp8, [](auto& p) { p.alignment = 8; }), HasSubstr("aligned"));
  const MatmulProblem plain = problem(8, 12, 8);
  EXPECT_THAT(with(plain, [](auto& p) { p.n = 0; }), HasSubstr("is 0"));
  EXPECT_THAT(with(plain, [](auto& p) { p.k = 1ULL << 31; }), HasSubstr("2^31"));
  EXPECT_THAT(with(plain, [](auto& p) { p.b = Element::bf16; }), HasSubstr("A is f32 and B bf16"));
  EXPECT_THAT(with(plain, [](auto& p) { p.c = Element::bf16; }), HasSubstr("A is f32 and C bf16"));
  EXPECT_THAT(with(plain, [](auto& p) { p.scaled = true; }), HasSubstr("for fp8"));
  EXPECT_THAT(with(plain, [](auto& p) { p.epilogue = Epilogue::gelu_aux_bias; }), HasSubstr("multiple of 8"));
  EXPECT_THAT(with(plain,
                   [](auto& p) {
                     p.epilogue = Epilogue::bias;
                     p.batch = 2;
                   }),
              HasSubstr("batch"));
  EXPECT_THAT(with(problem(8, 8, 8, Layout::nn, Element::bf16), [](auto& p) { p.tf32 = true; }),
              HasSubstr("tf32"));
}

TEST(Matmul, AlignmentIsTheLargestPowerOfTwo) {
  EXPECT_EQ(alignment_of(0), 256U);
  EXPECT_EQ(alignment_of(512), 256U);
  EXPECT_EQ(alignment_of(96), 32U);
  EXPECT_EQ(alignment_of(7), 1U);
}

}  // namespace
}  // namespace lockstep::cuda
