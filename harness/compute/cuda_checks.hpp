#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "harness/compute/gemm_checksum.hpp"
#include "harness/cuda/blaslt.hpp"
#include "harness/step/backends.hpp"

/// Checks products on a device by their checksums, between steps.
///
/// What can be checked then is what the step left as it was: products whose result no other op overwrites and
/// whose operands nothing writes. In training that is the gradients of the weights, a third of all
/// operations, on the same card and with the same kernels as the rest. (Checking inside a step would have to
/// hold its stream up.)
namespace lockstep::compute {

/// Products that add up in one result.
struct CheckedProduct {
  OpId op;  ///< the last one
  std::uint32_t terms = 1;
  bool operator==(const CheckedProduct&) const = default;
};

/// Those of the graph, in order. fp8 and batched products are left out: column sums of an fp8 matrix would be
/// a product that the tensor cores do not have.
[[nodiscard]] std::vector<CheckedProduct> checkable_products(const step::StepGraph& graph);

/// The device side: two thin products for each check, one with a row of ones, and the comparison on the host.
class CudaChecks {
 public:
  /// `graph` and `library` outlive it. The device is the current one.
  CudaChecks(const step::StepGraph& graph, const cuda::BlasLt& library, int device,
             std::uint64_t workspace_bytes);

  /// Checks the next `most` of the checkable products, in turn from call to call. Waits for the device; every
  /// op of the step is done.
  [[nodiscard]] std::vector<step::WrongProduct> check(step::BufferSet& buffers, std::size_t most);
  [[nodiscard]] std::size_t checkable() const { return products_.size(); }

 private:
  /// What is known of a matrix that nothing writes.
  struct Sums {
    std::vector<float> of_columns;
    double rms = 0.0;
  };

  [[nodiscard]] step::WrongProduct compare(const CheckedProduct& checked, step::BufferSet& buffers);
  [[nodiscard]] const Sums& sums_of_a(const step::Gemm& gemm, step::BufferSet& buffers);
  [[nodiscard]] double rms_of(step::BufferRef ref, std::uint64_t elements, step::BufferSet& buffers);
  /// rows x n, in f32: `rows` of `left` (rows x inner, row-major) times the matrix at `right`.
  [[nodiscard]] std::vector<float> multiply_thin(const std::vector<std::byte>& left, std::uint64_t rows,
                                                 std::uint64_t inner, const std::byte* right,
                                                 step::Dtype dtype, bool right_is_transposed,
                                                 std::uint64_t n);

  const step::StepGraph& graph_;
  const cuda::BlasLt& library_;
  int device_;
  std::uint64_t workspace_bytes_;
  cuda::Stream stream_;
  std::vector<CheckedProduct> products_;
  std::size_t next_ = 0;
  std::map<std::string, Sums> sums_;
};

}  // namespace lockstep::compute
