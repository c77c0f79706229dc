#include "harness/step/interference.hpp"

#include <algorithm>
#include <string>
#include <utility>

#include "harness/core/error.hpp"
#include "harness/core/units.hpp"

namespace lockstep::step {
namespace {

double median(std::vector<double> values) {
  LOCKSTEP_EXPECT(!values.empty(), "a median of something");
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

/// Memory for what the executor records of one run.
struct Stamps {
  Stamps(const StepGraph& graph, std::uint32_t count)
      : comms_per_step(static_cast<std::uint32_t>(graph.comm_ops().size())),
        ops(graph.ops.size()),
        comms(std::size_t{comms_per_step} * count),
        steps(count) {}
  [[nodiscard]] Recording recording() {
    Recording made;
    made.ops = ops;
    made.comms = comms;
    made.steps = steps;
    made.ops_per_step = static_cast<std::uint32_t>(ops.size());
    made.comms_per_step = comms_per_step;
    made.kept_steps = 1;
    return made;
  }
  std::uint32_t comms_per_step;
  std::vector<OpStamp> ops;
  std::vector<CommStamp> comms;
  std::vector<StepStamp> steps;
};

}  // namespace

StepGraph interference_graph(const InterferenceLoad& load, Beside beside) {
  StepGraph graph;
  graph.workload = "interference";
  graph.groups.push_back({"world", {{}}, false});
  for (std::uint32_t rank = 0; rank < load.ranks; ++rank)
    graph.groups[0].parts[0].emplace_back(rank);
  graph.buffers = {{"a", BufferRole::activations, load.dtype, load.m * load.k},
                   {"b", BufferRole::weights, load.dtype, load.k * load.n},
                   {"c", BufferRole::activations, load.dtype, load.m * load.n},
                   {"from", BufferRole::gradients, Dtype::f32, load.elements},
                   {"to", BufferRole::reduced, Dtype::f32, load.elements}};
  for (std::uint32_t i = 0; i < load.products && beside != Beside::comms_alone; ++i) {
    Gemm gemm;
    gemm.m = load.m;
    gemm.n = load.n;
    gemm.k = load.k;
    gemm.dtype = load.dtype;
    gemm.a = {BufferId(0), 0};
    gemm.b = {BufferId(1), 0};
    gemm.c = {BufferId(2), 0};
    graph.ops.push_back({"product" + std::to_string(i), Phase::forward, gemm, {}});
  }
  for (std::uint32_t i = 0; i < load.comms && beside != Beside::products_alone; ++i) {
    Comm comm;
    comm.kind = load.kind;
    comm.elements = load.elements;
    comm.from = {BufferId(3), 0};
    comm.to = {BufferId(4), 0};
    graph.ops.push_back({"comm" + std::to_string(i), Phase::backward, comm, {}});
    // One after the other: they share their buffers.
    if (i > 0)
      graph.ops.back().after = {OpId(static_cast<std::uint32_t>(graph.ops.size() - 2))};
  }
  return graph;
}

InterferenceSteps interference_steps(std::span<const StepStamp> steps, std::span<const CommStamp> comms,
                                     std::uint32_t comms_per_step) {
  InterferenceSteps found;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    found.products_s.push_back(seconds_from_ns(steps[i].compute_ns));
    std::int64_t end_ns = steps[i].begin_ns;
    for (const CommStamp& comm : comms.subspan(i * comms_per_step, comms_per_step))
      end_ns = std::max(end_ns, comm.end_ns);
    found.comms_s.push_back(seconds_from_ns(end_ns - steps[i].begin_ns));
  }
  return found;
}

Interference interference_of(const InterferenceSteps& products_alone, const InterferenceSteps& comms_alone,
                             const InterferenceSteps& both) {
  Interference found;
  found.products_alone_s = median(products_alone.products_s);
  found.products_beside_s = median(both.products_s);
  found.comms_alone_s = median(comms_alone.comms_s);
  found.comms_beside_s = median(both.comms_s);
  found.covered = std::min(1.0, found.comms_beside_s / found.products_beside_s);
  return found;
}

Interference measure_interference(const InterferenceLoad& load, ComputeBackend& compute,
                                  FabricBackend& fabric, BufferSet& buffers, FastClock& clock,
                                  const ExecutorOptions& options, std::uint32_t warmup, std::uint32_t steps) {
  LOCKSTEP_EXPECT(steps > 0, "nothing is measured in no steps");
  const auto run = [&](Beside beside) {
    const StepGraph graph = interference_graph(load, beside);
    Stamps stamps(graph, warmup + steps);
    Executor executor(graph, compute, fabric, buffers, clock, stamps.recording(), nullptr, options);
    for (std::uint32_t step = 0; step < warmup + steps; ++step) {
      const StepResult result = executor.run_step(step, step < warmup ? kStepWarmup : 0U);
      if (result.status != StepStatus::completed)
        throw RunError({.what = "products and communications could not be run beside each other",
                        .why = result.message.empty() ? "a deadline passed" : result.message,
                        .suggestion = {},
                        .file = {}});
    }
    return interference_steps(std::span(stamps.steps).subspan(warmup),
                              std::span(stamps.comms).subspan(std::size_t{warmup} * stamps.comms_per_step),
                              stamps.comms_per_step);
  };
  const InterferenceSteps products = run(Beside::products_alone);
  const InterferenceSteps comms = run(Beside::comms_alone);
  return interference_of(products, comms, run(Beside::both));
}

}  // namespace lockstep::step
