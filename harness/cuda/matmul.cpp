#include "harness/cuda/matmul.hpp"

#include <algorithm>
#include <array>

#include "harness/core/error.hpp"

namespace lockstep::cuda {

using Layout = MatmulProblem::Layout;

std::uint32_t bytes_of(Element element) {
  switch (element) {
    case Element::f32:
      return 4;
    case Element::bf16:
    case Element::f16:
      return 2;
    case Element::e4m3:
    case Element::e5m2:
      return 1;
  }
  LOCKSTEP_EXPECT(false, "no such element");
}

const char* to_string(Element element) {
  switch (element) {
    case Element::f32:
      return "f32";
    case Element::bf16:
      return "bf16";
    case Element::f16:
      return "f16";
    case Element::e4m3:
      return "e4m3";
    case Element::e5m2:
      return "e5m2";
  }
  LOCKSTEP_EXPECT(false, "no such element");
}

bool is_fp8(Element element) {
  return element == Element::e4m3 || element == Element::e5m2;
}

const char* to_string(Epilogue epilogue) {
  switch (epilogue) {
    case Epilogue::none:
      return "none";
    case Epilogue::bias:
      return "bias";
    case Epilogue::gelu:
      return "gelu";
    case Epilogue::gelu_bias:
      return "gelu_bias";
    case Epilogue::gelu_aux_bias:
      return "gelu_aux_bias";
    case Epilogue::dgelu:
      return "dgelu";
    case Epilogue::dgelu_bgrad:
      return "dgelu_bgrad";
    case Epilogue::bgrad:
      return "bgrad";
  }
  LOCKSTEP_EXPECT(false, "no such epilogue");
}

bool has_vector(Epilogue epilogue) {
  return epilogue != Epilogue::none && epilogue != Epilogue::gelu && epilogue != Epilogue::dgelu;
}

bool has_extra_matrix(Epilogue epilogue) {
  return epilogue == Epilogue::gelu_aux_bias || epilogue == Epilogue::dgelu ||
         epilogue == Epilogue::dgelu_bgrad;
}

std::string name_of(const MatmulProblem& problem) {
  constexpr const char* kLayouts[] = {"nn", "nt", "tn"};
  std::string name = std::string(kLayouts[static_cast<int>(problem.layout)]) + "." +
                     std::to_string(problem.m) + "x" + std::to_string(problem.n) + "x" +
                     std::to_string(problem.k);
  if (problem.batch != 1)
    name += ".b" + std::to_string(problem.batch);
  for (const Element element : {problem.a, problem.b, problem.c})
    name += std::string(".") + to_string(element);
  if (problem.tf32)
    name += ".tf32";
  if (problem.accumulate)
    name += ".acc";
  if (problem.scaled)
    name += ".scaled";
  if (problem.fast_accumulation)
    name += ".fast";
  if (problem.epilogue != Epilogue::none)
    name += std::string(".") + to_string(problem.epilogue);
  return name + ".a" + std::to_string(problem.alignment);
}

std::string why_impossible(const MatmulProblem& problem) {
  const auto [m, n, k] = std::array{problem.m, problem.n, problem.k};
  if (std::min({m, n, k, problem.batch}) == 0)
    return "an extent is 0";
  if (std::max({m, n, k, problem.batch}) > (std::uint64_t{1} << 31) - 1)
    return "an extent is above 2^31 - 1";
  const bool fp8 = is_fp8(problem.a) || is_fp8(problem.b);
  if (!fp8 && problem.a != problem.b)
    return std::string("A is ") + to_string(problem.a) + " and B " + to_string(problem.b);
  if (is_fp8(problem.a) != is_fp8(problem.b))
    return "only one of A and B is fp8";
  if (problem.tf32 && problem.a != Element::f32)
    return "tf32 is a way to multiply f32";
  if ((problem.scaled || problem.fast_accumulation) && !fp8)
    return "scales and fast accumulation are for fp8";
  if (has_extra_matrix(problem.epilogue) && n % 8 != 0)
    return "n is no multiple of 8, which the extra matrix needs";
  if (problem.batch > 1 && has_vector(problem.epilogue))
    return "a batch has no bias";
  if (is_fp8(problem.c))
    return "C is fp8: results are stored in 16 or 32 bits";
  if (!fp8) {
    if (problem.c != problem.a && problem.c != Element::f32)
      return std::string("A is ") + to_string(problem.a) + " and C " + to_string(problem.c);
    return {};
  }
  if (problem.a == Element::e5m2 && problem.b == Element::e5m2)
    return "A and B are both e5m2";
  if (problem.layout != Layout::nt)
    return "fp8 operands need k contiguous in both, which is layout nt";
  if (m % 16 != 0 || n % 16 != 0 || k % 16 != 0)
    return "an extent is no multiple of 16, which fp8 needs";
  if (problem.alignment < 16)
    return "an fp8 operand is not aligned to 16 bytes";
  return {};
}

std::uint32_t alignment_of(std::uint64_t address) {
  std::uint32_t alignment = 256;
  while (address % alignment != 0)
    alignment /= 2;
  return alignment;
}

ColumnMajorProduct column_major(const MatmulProblem& problem) {
  const auto signed_of = [](std::uint64_t value) { return static_cast<std::int64_t>(value); };
  const auto stored = [&](std::uint64_t rows, std::uint64_t columns, bool transposed) {
    return ColumnMajorMatrix{rows, columns, signed_of(rows), signed_of(rows * columns), transposed};
  };
  const bool b_transposed = problem.layout == Layout::nt;
  const bool a_transposed = problem.layout == Layout::tn;
  return {b_transposed ? stored(problem.k, problem.n, true) : stored(problem.n, problem.k, false),
          a_transposed ? stored(problem.m, problem.k, true) : stored(problem.k, problem.m, false),
          stored(problem.n, problem.m, false)};
}

}  // namespace lockstep::cuda
