#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "harness/core/clock.hpp"
#include "harness/step/backends.hpp"
#include "harness/step/executor.hpp"
#include "harness/step/graph.hpp"
#include "harness/step/stamps.hpp"

/// How much matrix products and communications slow each other down: on a GPU a collective takes thread
/// blocks, memory bandwidth and power from the products beside it (nccl#1428 asks for the number).
namespace lockstep::step {

/// What runs beside each other: the same product several times, and the same communication.
struct InterferenceLoad {
  std::uint64_t m = 0;
  std::uint64_t n = 0;
  std::uint64_t k = 0;
  Dtype dtype = Dtype::f32;
  std::uint32_t products = 1;
  CommKind kind = CommKind::all_reduce;
  std::uint64_t elements = 0;  ///< f32, of each communication
  std::uint32_t comms = 1;
  std::uint32_t ranks = 1;  ///< all of them communicate with each other
};

enum class Beside { both, products_alone, comms_alone };

/// Products and communications that wait for nothing. The groups and buffers are the same whatever is beside
/// what, and products have the same OpIds, so that backends made for `both` serve all three.
[[nodiscard]] StepGraph interference_graph(const InterferenceLoad& load, Beside beside);

/// Times of one step in seconds, medians over steps.
struct Interference {
  double products_alone_s = 0.0;
  double products_beside_s = 0.0;  ///< the sum of the same products, beside communications
  double comms_alone_s = 0.0;
  double comms_beside_s = 0.0;  ///< from the step's begin to the end of the last communication
  /// Share of the products' time during which communications were under way; below 1 the slowdown is
  /// understated.
  double covered = 0.0;
  [[nodiscard]] double products_slowdown() const { return products_beside_s / products_alone_s; }
  [[nodiscard]] double comms_slowdown() const { return comms_beside_s / comms_alone_s; }
};

/// What some steps of one graph took, as the executor recorded them.
struct InterferenceSteps {
  std::vector<double> products_s;
  std::vector<double> comms_s;
};
/// `comms`: comms_per_step stamps for each step.
[[nodiscard]] InterferenceSteps interference_steps(std::span<const StepStamp> steps,
                                                   std::span<const CommStamp> comms,
                                                   std::uint32_t comms_per_step);
[[nodiscard]] Interference interference_of(const InterferenceSteps& products_alone,
                                           const InterferenceSteps& comms_alone,
                                           const InterferenceSteps& both);

/// Runs `steps` steps of each of the three, after `warmup` ones, in turn. Collective over the ranks of the
/// fabric. `compute` and `fabric` were made for interference_graph(load, Beside::both), `buffers` too. Throws
/// RunError when a step does not complete: the fabric is of no use then.
[[nodiscard]] Interference measure_interference(const InterferenceLoad& load, ComputeBackend& compute,
                                                FabricBackend& fabric, BufferSet& buffers, FastClock& clock,
                                                const ExecutorOptions& options, std::uint32_t warmup,
                                                std::uint32_t steps);

}  // namespace lockstep::step
