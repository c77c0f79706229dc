// Bandwidth of all-reduces over any fabric of the plan's, and what they and matrix products cost each other
// on a GPU: mpirun -np 2 bench_fabric --fabric nccl --products
//
// Prints `figure NAME VALUE UNIT` lines. Exit code 77 where there is no GPU for what is asked.

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "harness/compute/cuda_backend.hpp"
#include "harness/compute/cuda_memory.hpp"
#include "harness/core/clock.hpp"
#include "harness/core/error.hpp"
#include "harness/core/units.hpp"
#include "harness/cuda/bounded_call.hpp"
#include "harness/cuda/device.hpp"
#include "harness/cuda/stream.hpp"
#include "harness/fabric/make_fabric.hpp"
#include "harness/fabric/pattern_validator.hpp"
#include "harness/mpi/collect.hpp"
#include "harness/mpi/environment.hpp"
#include "harness/step/interference.hpp"

namespace {

using namespace lockstep;

constexpr double kDeadlineS = 120.0;
constexpr int kSkipped = 77;

struct Options {
  plan::Fabric fabric;
  std::uint32_t repetitions = 20;
  std::uint64_t most_mib = 256;
  bool products = false;
};

class NoCompute final : public step::ComputeBackend {
 public:
  void run(const step::Op&, step::BufferSet&, std::int64_t) override {}
  [[nodiscard]] std::string name() const override { return "none"; }
  [[nodiscard]] int busy_threads() const override { return 0; }
  [[nodiscard]] step::BufferSet::Need buffers_needed() const override {
    return step::BufferSet::Need::communicated;
  }
};

/// The ranks as two sites where they divide, for hierarchical all-reduces.
step::RankLayout layout_of(const mpi::Communicator& world) {
  const auto ranks = static_cast<std::uint32_t>(world.size());
  return ranks % 2 == 0 ? step::RankLayout{{ranks / 2, ranks / 2}} : step::RankLayout{{ranks}};
}

/// A graph with its buffers and its fabric.
class Bench {
 public:
  Bench(const mpi::Communicator& world, const Options& options, step::StepGraph graph,
        step::BufferSet::Need need, step::Memory& memory)
      : graph_(std::move(graph)),
        layout_(fabric::lay_out(options.fabric, graph_, layout_of(world))),
        buffers_(layout_.graph, need, RankId(static_cast<std::uint32_t>(world.rank())), memory),
        fabric_(fabric::make_fabric(options.fabric, {.layout = layout_,
                                                     .leg = world,
                                                     .memory = memory,
                                                     .machine = "one machine",
                                                     .deadline_s = kDeadlineS})) {}
  [[nodiscard]] const step::StepGraph& graph() const { return graph_; }
  [[nodiscard]] step::BufferSet& buffers() { return buffers_; }
  [[nodiscard]] step::FabricBackend& fabric() { return *fabric_; }

 private:
  step::StepGraph graph_;
  fabric::HierarchyPlan layout_;
  step::BufferSet buffers_;
  std::unique_ptr<step::FabricBackend> fabric_;
};

step::InterferenceLoad all_reduces(const mpi::Communicator& world, std::uint64_t bytes, std::uint32_t count) {
  step::InterferenceLoad load;
  load.elements = bytes / sizeof(float);
  load.comms = count;
  load.ranks = static_cast<std::uint32_t>(world.size());
  return load;
}

double time_once(Bench& bench, const step::Comm& comm) {
  const std::int64_t begin_ns = monotonic_ns();
  const auto ticket = bench.fabric().start(comm, bench.graph(), bench.buffers());
  step::CommState state = step::CommState::pending;
  while ((state = bench.fabric().test(ticket)) == step::CommState::pending) {
    if (seconds_from_ns(monotonic_ns() - begin_ns) > kDeadlineS)
      throw RunError({.what = "an all-reduce did not end", .why = {}, .suggestion = {}, .file = {}});
  }
  if (state == step::CommState::failed)
    throw RunError({.what = bench.fabric().error_text(ticket), .why = {}, .suggestion = {}, .file = {}});
  return seconds_from_ns(monotonic_ns() - begin_ns);
}

void measure_bandwidth(const mpi::Communicator& world, const Options& options, step::Memory& memory) {
  const double ranks = world.size();
  for (std::uint64_t mib = 1; mib <= options.most_mib; mib *= 4) {
    step::StepGraph graph = interference_graph(all_reduces(world, mib << 20, 1), step::Beside::comms_alone);
    graph.groups[0].spans_sites = true;
    Bench bench(world, options, std::move(graph), step::BufferSet::Need::communicated, memory);
    const auto& comm = std::get<step::Comm>(bench.graph().ops[0].work);
    std::vector<double> times;
    for (std::uint32_t i = 0; i < options.repetitions + 3; ++i) {
      mpi::barrier(world, kDeadlineS);
      const double time_s = time_once(bench, comm);
      if (i >= 3)
        times.push_back(time_s);
    }
    // Worst rank first, then the median over repetitions.
    times = mpi::all_reduce(world, times, mpi::Reduction::max, kDeadlineS);
    std::sort(times.begin(), times.end());
    fabric::PatternValidator validator(bench.graph(), RankId(static_cast<std::uint32_t>(world.rank())), 256);
    validator.plant(0, 0, comm, bench.buffers());
    static_cast<void>(time_once(bench, comm));
    const auto wrong =
        mpi::all_reduce(world, static_cast<std::int64_t>(validator.check(0, 0, comm, bench.buffers()).wrong),
                        mpi::Reduction::sum, kDeadlineS);
    if (world.rank() == 0) {
      const double time_s = times[times.size() / 2];
      fmt::print("figure all_reduce_{}MiB_busbw {:.3f} GB/s {}, {} ranks, {:.1f} us, {} wrong\n", mib,
                 static_cast<double>(mib << 20) / time_s * 1e-9 * 2 * (ranks - 1) / ranks,
                 bench.fabric().name(), world.size(), time_s * 1e6, wrong);
      std::fflush(stdout);
    }
    if (wrong > 0)
      throw RunError({.what = "the reduced data are wrong", .why = {}, .suggestion = {}, .file = {}});
  }
}

/// The products of a 70B decoder layer's size, beside all-reduces of a gradient bucket.
void measure_interference(const mpi::Communicator& world, const Options& options, int device,
                          step::Memory& memory) {
  step::InterferenceLoad load = all_reduces(world, 160U << 20, 8);
  load.m = load.n = load.k = 8192;
  load.dtype = step::Dtype::bf16;
  load.products = 16;
  const step::StepGraph graph = interference_graph(load, step::Beside::both);
  compute::ComputeFacts facts;
  compute::CudaOptions cuda_options;
  cuda_options.device = device;
  const auto compute = compute::make_cuda_backend(graph, cuda_options, facts);
  Bench bench(world, options, graph, compute->buffers_needed(), memory);
  compute->prepare(bench.buffers());
  FastClock clock;
  step::ExecutorOptions execution;
  execution.wait = step::WaitMode::backoff;
  execution.op_deadline_s = kDeadlineS;
  const step::Interference found = step::measure_interference(load, *compute, bench.fabric(), bench.buffers(),
                                                              clock, execution, 3, options.repetitions);
  if (world.rank() == 0) {
    fmt::print("figure products_slowdown {:.4f} ratio beside {}, covered {:.2f}\n", found.products_slowdown(),
               bench.fabric().name(), found.covered);
    fmt::print("figure comms_slowdown {:.4f} ratio beside products\n", found.comms_slowdown());
    fmt::print("figure products_alone {:.6f} s\nfigure comms_alone {:.6f} s\n", found.products_alone_s,
               found.comms_alone_s);
  }
}

int run(const mpi::Communicator& world, const Options& options) {
  const bool on_gpu = plan::sends_from_gpu(options.fabric.backend);
  const std::string reason = on_gpu || options.products ? compute::why_no_cuda(0) : "";
  if (!reason.empty()) {
    if (world.rank() == 0)
      fmt::print("skipped: {}\n", reason);
    return kSkipped;
  }
  std::unique_ptr<compute::CudaMemory> gpu;
  int device = 0;
  if (on_gpu) {
    const cuda::Detection found = cuda::detect();
    device = found.devices[static_cast<std::size_t>(world.rank()) % found.devices.size()].index;
    cuda::make_current(device);
    gpu = std::make_unique<compute::CudaMemory>(device);
  }
  step::Memory& memory = fabric::memory_for(options.fabric, step::host_memory(), gpu.get());
  measure_bandwidth(world, options, memory);
  if (options.products && on_gpu)
    measure_interference(world, options, device, memory);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  options.fabric.share_gpu = true;
  bool hierarchical = false;
  CLI::App app("Bandwidth of all-reduces, and what they and products cost each other. Run it under mpirun.");
  app.add_option("--fabric", options.fabric.backend, "mpi, nccl, cuda-aware or host-staged")
      ->transform(CLI::CheckedTransformer(std::vector<std::pair<std::string, plan::FabricBackend>>{
          {"mpi", plan::FabricBackend::mpi},
          {"nccl", plan::FabricBackend::nccl},
          {"cuda-aware", plan::FabricBackend::cuda_aware},
          {"host-staged", plan::FabricBackend::host_staged}}));
  app.add_flag("--hierarchical", hierarchical, "in phases, with the two halves of the ranks as sites");
  app.add_flag("--products", options.products, "also beside matrix products on the GPU");
  app.add_option("--repetitions", options.repetitions)
      ->check(CLI::Range(1U, 100'000U))
      ->capture_default_str();
  app.add_option("--most-mib", options.most_mib)->check(CLI::Range(1U, 16'384U))->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  if (hierarchical)
    options.fabric.all_reduce = plan::AllReduce::hierarchical;
  int code = 0;
  try {
    const mpi::Environment environment(argc, argv);
    code = run(mpi::Communicator::world(), options);
  } catch (const std::exception& error) {
    fmt::print(stderr, "bench_fabric: {}\n", error.what());
    code = 5;
  }
  if (cuda::calls_left_behind() > 0) {
    std::fflush(nullptr);
    std::_Exit(code);
  }
  return code;
}
