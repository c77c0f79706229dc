#pragma once

#include <cstdint>
#include <vector>

#include "harness/step/backends.hpp"
#include "harness/step/graph.hpp"

namespace lockstep::step {

/// A value that a reduction should have left and did not.
struct WrongValue {
  std::uint64_t offset = 0;  ///< element in the op's result
  double expected = 0.0;
  double observed = 0.0;
};

/// What a check of one communication's result found.
struct ValidationResult {
  std::uint64_t checksum =
      0;  ///< of the checked elements; equal on all ranks of the group when the data are right
  std::uint64_t wrong = 0;  ///< number of wrong elements
  WrongValue first;         ///< meaningful when wrong > 0
};

/// Plants a known pattern in what is sent and looks for its sum in what arrives. `comm_index` is the op's
/// position in StepGraph::comm_ops().
class Validator {
 public:
  virtual ~Validator() = default;
  /// Writes the pattern of this rank into the sampled elements of `comm.from`. Called by the thread that
  /// starts the communication, just before it does.
  virtual void plant(std::uint32_t step, std::uint32_t comm_index, const Comm& comm, BufferSet& buffers) = 0;
  /// Looks at the sampled elements of `comm.to`, after the step.
  [[nodiscard]] virtual ValidationResult check(std::uint32_t step, std::uint32_t comm_index, const Comm& comm,
                                               BufferSet& buffers) = 0;
};

/// True for the steps whose data are checked: `share` of them, evenly spread, the first one always.
[[nodiscard]] bool is_validated_step(std::uint32_t step, double share);

/// True for the steps whose products are checked: the one before each of those, unless it is one of them
/// itself. In a step whose data are checked, the pattern overwrites some of what the products left.
[[nodiscard]] bool is_product_checked_step(std::uint32_t step, double share);

}  // namespace lockstep::step
