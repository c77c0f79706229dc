#include "harness/compute/cuda_checks.hpp"

#include <algorithm>
#include <cmath>
#include <optional>

#include <fmt/format.h>

#include "harness/compute/cuda_products.hpp"
#include "harness/compute/device_plan.hpp"
#include "harness/core/error.hpp"
#include "harness/cuda/device.hpp"

namespace lockstep::compute {
namespace {

using step::Dtype;
using step::Gemm;

/// A stretch of a buffer.
struct Extent {
  BufferId buffer;
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  [[nodiscard]] bool meets(const Extent& other) const {
    return buffer == other.buffer && begin < other.end && other.begin < end;
  }
};

Extent result_of(const Gemm& gemm) {
  return {gemm.c.buffer, gemm.c.offset, gemm.c.offset + gemm.m * gemm.n * gemm.batch};
}

/// What an op writes, as far as it may be a product's result.
std::vector<Extent> written_by(const step::Op& op) {
  if (const auto* gemm = std::get_if<Gemm>(&op.work))
    return {result_of(*gemm)};
  if (const auto* comm = std::get_if<step::Comm>(&op.work)) {
    if (comm->kind == step::CommKind::barrier)
      return {};
    std::vector<Extent> extents = {{comm->to.buffer, comm->to.offset, comm->to.offset + comm->elements}};
    return extents;
  }
  const auto& update = std::get<step::Update>(op.work);
  std::vector<Extent> extents;
  for (const step::BufferRef ref : {update.parameters, update.first_moment, update.second_moment})
    extents.push_back({ref.buffer, ref.offset, ref.offset + update.elements});
  if (update.copy)
    extents.push_back({update.copy->buffer, update.copy->offset, update.copy->offset + update.elements});
  return extents;
}

bool same_place(step::BufferRef a, step::BufferRef b) {
  return a.buffer == b.buffer && a.offset == b.offset;
}

bool same_product(const Gemm& a, const Gemm& b) {
  return a.m == b.m && a.n == b.n && a.k == b.k && a.layout == b.layout && a.math == b.math &&
         same_place(a.a, b.a) && same_place(a.b, b.b) && same_place(a.c, b.c);
}

bool is_suitable(const step::StepGraph& graph, const Gemm& gemm, const std::vector<BufferId>& constant) {
  const auto is_constant = [&](BufferId id) {
    return std::find(constant.begin(), constant.end(), id) != constant.end();
  };
  return gemm.batch == 1 && !is_fp8(gemm.dtype) && is_constant(gemm.a.buffer) && is_constant(gemm.b.buffer) &&
         !is_fp8(graph.buffer(gemm.c.buffer).dtype);
}

}  // namespace

std::vector<CheckedProduct> checkable_products(const step::StepGraph& graph) {
  struct Write {
    std::uint32_t op = 0;
    Extent extent;
  };
  std::vector<std::vector<Write>> writes(graph.buffers.size());  // of each buffer, in order
  for (std::uint32_t i = 0; i < graph.ops.size(); ++i) {
    for (const Extent& extent : written_by(graph.ops[i]))
      writes[extent.buffer.value()].push_back({i, extent});
  }
  const std::vector<BufferId> constant = only_read(graph);
  std::vector<CheckedProduct> found;
  for (std::uint32_t i = 0; i < graph.ops.size(); ++i) {
    const auto* gemm = std::get_if<Gemm>(&graph.ops[i].work);
    if (gemm == nullptr || !is_suitable(graph, *gemm, constant))
      continue;
    // The last one to write the result, and before it the same product only, back to where the result begins
    // anew.
    CheckedProduct checked{OpId{i}, 0};
    bool complete = false;
    bool survives = true;
    const std::vector<Write>& of_buffer = writes[gemm->c.buffer.value()];
    for (auto write = of_buffer.rbegin(); write != of_buffer.rend() && survives && !complete; ++write) {
      if (!write->extent.meets(result_of(*gemm)))
        continue;
      const auto* other = std::get_if<Gemm>(&graph.ops[write->op].work);
      survives = write->op <= i && other != nullptr && same_product(*other, *gemm);
      checked.terms += 1;
      complete = survives && !other->accumulate;
    }
    if (complete)
      found.push_back(checked);
  }
  return found;
}

CudaChecks::CudaChecks(const step::StepGraph& graph, const cuda::BlasLt& library, int device,
                       std::uint64_t workspace_bytes)
    : graph_(graph),
      library_(library),
      device_(device),
      workspace_bytes_(workspace_bytes),
      products_(checkable_products(graph)) {}

std::vector<float> CudaChecks::multiply_thin(const std::vector<std::byte>& left, std::uint64_t rows,
                                             std::uint64_t inner, const std::byte* right, Dtype dtype,
                                             bool right_is_transposed, std::uint64_t n) {
  cuda::MatmulProblem problem;
  problem.m = rows;
  problem.n = n;
  problem.k = inner;
  problem.layout = right_is_transposed ? cuda::MatmulProblem::Layout::nt : cuda::MatmulProblem::Layout::nn;
  problem.a = problem.b = element_of(dtype);
  problem.c = cuda::Element::f32;
  problem.alignment = std::min(cuda::alignment_of(reinterpret_cast<std::uintptr_t>(right)), 256U);
  cuda::Matmul matmul(library_, problem);
  const std::vector<cuda::MatmulAlgorithm> algorithms = matmul.candidates(1, workspace_bytes_);
  if (algorithms.empty())
    throw RunError({.what = "cuBLASLt has no algorithm for the check " + name_of(problem),
                    .why = {},
                    .suggestion = "set validation.step_share = 0",
                    .file = {}});
  cuda::DeviceMemory rows_there(left.size());
  rows_there.copy_from_host(left);
  cuda::DeviceMemory result(rows * n * sizeof(float));
  cuda::DeviceMemory workspace(algorithms.front().workspace_bytes);
  cuda::MatmulOperands operands;
  operands.a = rows_there.data();
  operands.b = right;
  operands.c = result.data();
  matmul.run(algorithms.front(), operands, {static_cast<std::byte*>(workspace.data()), workspace.bytes()},
             stream_);
  stream_.synchronize();
  std::vector<float> sums(rows * n);
  result.copy_to_host(std::as_writable_bytes(std::span<float>(sums)));
  return sums;
}

double CudaChecks::rms_of(step::BufferRef ref, std::uint64_t elements, step::BufferSet& buffers) {
  constexpr std::uint64_t kSamples = 65536;  // the rms of so many is right to a percent
  const Dtype dtype = graph_.buffer(ref.buffer).dtype;
  const std::uint64_t size = bytes_of(dtype);
  std::vector<std::byte> codes(std::min(elements, kSamples) * size);
  buffers.read(buffers.at(graph_, ref), codes);
  double squares = 0.0;
  for (std::size_t i = 0; i < codes.size(); i += size) {
    const auto value = static_cast<double>(decode(codes.data() + i, dtype));
    squares += value * value;
  }
  return std::sqrt(squares / static_cast<double>(codes.size() / size));
}

const CudaChecks::Sums& CudaChecks::sums_of_a(const Gemm& gemm, step::BufferSet& buffers) {
  const std::string key = fmt::format("{} {} {} {} {}", gemm.a.buffer.value(), gemm.a.offset, gemm.m, gemm.k,
                                      gemm.layout == Gemm::Layout::tn);
  const auto found = sums_.find(key);
  if (found != sums_.end())
    return found->second;
  const std::vector<float> ones(gemm.m, 1.0F);
  Sums sums;
  sums.of_columns = multiply_thin(encode(ones, gemm.dtype), 1, gemm.m, buffers.at(graph_, gemm.a), gemm.dtype,
                                  gemm.layout == Gemm::Layout::tn, gemm.k);
  sums.rms = rms_of(gemm.a, gemm.m * gemm.k, buffers);
  return sums_.emplace(key, std::move(sums)).first->second;
}

step::WrongProduct CudaChecks::compare(const CheckedProduct& checked, step::BufferSet& buffers) {
  const auto& gemm = std::get<Gemm>(graph_.op(checked.op).work);
  const Sums& a = sums_of_a(gemm, buffers);
  const Dtype b_type = graph_.buffer(gemm.b.buffer).dtype;
  const Dtype c_type = graph_.buffer(gemm.c.buffer).dtype;
  const SplitVector split = split_vector(a.of_columns, b_type);
  std::vector<std::byte> rows;
  for (const SplitVector::Part& part : split.parts) {
    const std::vector<std::byte> row = encode(part.values, b_type);
    rows.insert(rows.end(), row.begin(), row.end());
  }
  const std::vector<float> products =
      multiply_thin(rows, split.parts.size(), gemm.k, buffers.at(graph_, gemm.b), b_type,
                    gemm.layout == Gemm::Layout::nt, gemm.n);
  const std::vector<float> ones(gemm.m, 1.0F);
  const std::vector<float> sums =
      multiply_thin(encode(ones, c_type), 1, gemm.m, buffers.at(graph_, gemm.c), c_type, false, gemm.n);
  std::vector<double> expected(gemm.n, 0.0);
  std::vector<double> observed(sums.begin(), sums.end());
  for (std::size_t part = 0; part < split.parts.size(); ++part) {
    for (std::size_t j = 0; j < gemm.n; ++j)
      expected[j] +=
          checked.terms * split.parts[part].scale * static_cast<double>(products[part * gemm.n + j]);
  }
  const ProductStatistics statistics{
      gemm.m, gemm.k, a.rms, rms_of(gemm.b, gemm.k * gemm.n, buffers), checked.terms, c_type, gemm.math};
  // Repeated terms are equal, so they add up in full and not as the root of their number.
  const double typical = typical_column_sum(statistics) * std::sqrt(static_cast<double>(checked.terms));
  const double tolerance = column_tolerance(statistics) * std::sqrt(static_cast<double>(checked.terms));
  const ChecksumVerdict verdict = compare_column_sums(expected, observed, tolerance, typical);
  return {checked.op,       verdict.wrong_columns, verdict.column,
          verdict.expected, verdict.observed,      verdict.tolerance};
}

std::vector<step::WrongProduct> CudaChecks::check(step::BufferSet& buffers, std::size_t most) {
  std::vector<step::WrongProduct> wrong;
  if (products_.empty())
    return wrong;
  cuda::make_current(device_);
  for (std::size_t i = 0; i < std::min(most, products_.size()); ++i) {
    const step::WrongProduct found = compare(products_[next_], buffers);
    next_ = (next_ + 1) % products_.size();
    if (found.wrong_columns > 0)
      wrong.push_back(found);
  }
  return wrong;
}

}  // namespace lockstep::compute
