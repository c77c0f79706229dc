// What watching a step costs it on the card at hand, as lines `figure NAME VALUE UNIT`:
//
//   bench_gpu_overheads [--device=N] [--seconds=S]
//
// recording  a step with its stamps in a mapped journal against the same step without, in pairs in turns; and
//            the events around each product, which a step has in any case, against none
// nvml       steps while NVML is read as often as in a run against steps while it is not; and the same with
//            readings one after the other, which shows what a single one costs, however little that is
// capture    a step of small products captured once and launched as graphs against the same step launched op
//            by op, in pairs in turns
//
// Ends with 0 when all of it ran, 77 when there is no card, 1 otherwise. Judges nothing.

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "harness/compute/cuda_backend.hpp"
#include "harness/compute/cuda_memory.hpp"
#include "harness/compute/cuda_products.hpp"
#include "harness/compute/kernel_cache.hpp"
#include "harness/core/clock.hpp"
#include "harness/core/error.hpp"
#include "harness/core/units.hpp"
#include "harness/cuda/blaslt.hpp"
#include "harness/cuda/device.hpp"
#include "harness/cuda/nvml.hpp"
#include "harness/cuda/stream.hpp"
#include "harness/plan/plan.hpp"
#include "harness/record/journal.hpp"
#include "harness/step/executor.hpp"
#include "harness/watch/health_sampler.hpp"
#include "harness/watch/nvml_health.hpp"
#include "workloads/transformer.hpp"

namespace {

using namespace lockstep;

constexpr std::size_t kFewestPairs = 16;
constexpr std::uint64_t kWorkspaceBytes = std::uint64_t{64} << 20;
constexpr unsigned kCoresForSpinning = 6;  // two executors with two threads each, and the reader

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

template <class... Arguments>
void figure(fmt::format_string<Arguments...> text, Arguments&&... arguments) {
  fmt::print("figure {}\n", fmt::format(text, std::forward<Arguments>(arguments)...));
  std::fflush(stdout);
}

class InstantFabric final : public step::FabricBackend {
 public:
  Ticket start(const step::Comm& /*comm*/, const step::StepGraph& /*graph*/,
               step::BufferSet& /*buffers*/) override {
    return 0;
  }
  step::CommState test(Ticket /*ticket*/) override { return step::CommState::done; }
  [[nodiscard]] std::string error_text(Ticket /*ticket*/) const override { return {}; }
  [[nodiscard]] std::string name() const override { return "instant"; }
};

/// Layers of a model on one card, as a rank runs them, once recorded and once not.
class StepBench {
 public:
  StepBench(const plan::Workload& workload, int device,
            compute::CaptureMode capture = compute::CaptureMode::automatic)
      : graph_(workloads::build_transformer(workload, {{1}})), journal_(make_journal(graph_)) {
    compute::CudaOptions options;
    options.device = device;
    options.cache_folder = compute::default_cache_folder();
    options.capture = capture;
    backend_ = compute::make_cuda_backend(graph_, options, facts_);
    buffers_ =
        std::make_unique<step::BufferSet>(graph_, backend_->buffers_needed(), RankId{0}, backend_->memory());
    backend_->prepare(*buffers_);
    step::ExecutorOptions execution;
    execution.wait = std::thread::hardware_concurrency() >= kCoresForSpinning ? step::WaitMode::spin
                                                                              : step::WaitMode::backoff;
    execution.validation_share = 0.0;  // no product is checked within what is timed
    with_ = std::make_unique<step::Executor>(graph_, *backend_, fabric_, *buffers_, clock_,
                                             journal_.recording(), nullptr, execution);
    without_ = std::make_unique<step::Executor>(graph_, *backend_, fabric_, *buffers_, clock_,
                                                step::Recording{}, nullptr, execution);
    for (int i = 0; i < 5; ++i) {
      time_s(true);
      time_s(false);
    }
  }

  double time_s(bool recorded) {
    step::Executor& executor = recorded ? *with_ : *without_;
    const std::int64_t begin_ns = monotonic_ns();
    const step::StepResult result = executor.run_step(step_++ % kSteps, 0);
    const std::int64_t end_ns = monotonic_ns();
    if (result.status != step::StepStatus::completed)
      throw RunError({.what = "a step failed", .why = result.message, .suggestion = {}, .file = {}});
    return seconds_from_ns(end_ns - begin_ns);
  }
  /// Of recorded steps, over so many seconds at least.
  double mean_time_s(double seconds) {
    const std::int64_t begin_ns = monotonic_ns();
    const std::int64_t least_ns = ns_from_seconds(seconds);
    std::int64_t passed_ns = 0;
    std::size_t steps = 0;
    for (; passed_ns < least_ns; ++steps) {
      time_s(true);
      passed_ns = monotonic_ns() - begin_ns;
    }
    return seconds_from_ns(passed_ns) / static_cast<double>(steps);
  }
  [[nodiscard]] std::size_t computed_ops() const { return graph_.ops.size() - graph_.comm_ops().size(); }

 private:
  static constexpr std::uint32_t kSteps = 4096;

  static record::Journal make_journal(const step::StepGraph& graph) {
    const std::string path = "gpu_overheads.journal";
    record::Journal journal = record::Journal::create(path, {}, kSteps, plan::Run{}.op_stamp_steps,
                                                      static_cast<std::uint32_t>(graph.ops.size()),
                                                      static_cast<std::uint32_t>(graph.comm_ops().size()));
    std::remove(path.c_str());
    return journal;
  }

  step::StepGraph graph_;
  record::Journal journal_;
  compute::ComputeFacts facts_;
  InstantFabric fabric_;
  FastClock clock_;
  std::unique_ptr<step::ComputeBackend> backend_;
  std::unique_ptr<step::BufferSet> buffers_;
  std::unique_ptr<step::Executor> with_;
  std::unique_ptr<step::Executor> without_;
  std::uint32_t step_ = 0;
};

/// One decoder layer of the 70B model on 8192 tokens: a few large products.
plan::Workload large_products() {
  plan::Workload workload;
  workload.model = {"70B layer", 1, 8192, 28672, 64, 8, 128, 128, true};
  workload.sequence_length = 8192;
  workload.dtype = plan::WorkloadDtype::bf16;
  return workload;
}

/// Four layers of the 8B model on 2048 tokens: more and smaller products in a shorter step.
plan::Workload small_products() {
  plan::Workload workload;
  workload.model = {"8B layers", 4, 4096, 14336, 32, 8, 128, 128, true};
  workload.sequence_length = 2048;
  workload.dtype = plan::WorkloadDtype::bf16;
  return workload;
}

/// Eight layers of a model of 0.1 billion parameters on 512 tokens: products so short that launching them
/// shows.
plan::Workload short_products() {
  plan::Workload workload;
  workload.model = {"0.1B layers", 8, 1024, 4096, 16, 16, 64, 64, true};
  workload.sequence_length = 512;
  workload.dtype = plan::WorkloadDtype::bf16;
  return workload;
}

void measure_capture(int device, double seconds) {
  StepBench captured(short_products(), device, compute::CaptureMode::on);
  StepBench launched(short_products(), device, compute::CaptureMode::off);
  std::vector<double> ratios;
  std::vector<double> plain;
  const std::int64_t until_ns = monotonic_ns() + ns_from_seconds(seconds);
  while (ratios.size() < kFewestPairs || monotonic_ns() < until_ns) {
    const bool captured_first = ratios.size() % 2 == 0;
    const double first_s = (captured_first ? captured : launched).time_s(false);
    const double second_s = (captured_first ? launched : captured).time_s(false);
    ratios.push_back(captured_first ? first_s / second_s : second_s / first_s);
    plain.push_back(captured_first ? second_s : first_s);
  }
  figure("capture.on_off {:.6f} ratio median of {} pairs of steps of {} ops", median(ratios), ratios.size(),
         launched.computed_ops());
  figure("capture.step_without {:.6f} s", median(plain));
}

/// `pair_s`: what the events around one product cost.
void measure_recording(StepBench& bench, const char* name, double seconds, double pair_s) {
  std::vector<double> ratios;
  std::vector<double> plain;
  const std::int64_t until_ns = monotonic_ns() + ns_from_seconds(seconds);
  while (ratios.size() < kFewestPairs || monotonic_ns() < until_ns) {
    const bool recorded_first = ratios.size() % 2 == 0;
    const double first_s = bench.time_s(recorded_first);
    const double second_s = bench.time_s(!recorded_first);
    const double on_s = recorded_first ? first_s : second_s;
    const double off_s = recorded_first ? second_s : first_s;
    ratios.push_back(on_s / off_s);
    plain.push_back(off_s);
  }
  const double step_s = median(plain);
  const double stamps = median(ratios);
  const double events = pair_s * static_cast<double>(bench.computed_ops()) / step_s;
  figure("recording.{}.stamps_on_off {:.6f} ratio median of {} pairs of steps", name, stamps, ratios.size());
  figure("recording.{}.with_events {:.6f} ratio and the events of {} ops", name, stamps + events,
         bench.computed_ops());
  figure("recording.{}.step {:.6f} s not recorded", name, step_s);
}

/// Products one after the other, with two events around each and without. Returns what two events cost.
double measure_events(int device, double seconds) {
  constexpr std::size_t kProducts = 200;
  step::Gemm gemm;
  gemm.m = 2048;
  gemm.n = 6144;
  gemm.k = 4096;
  gemm.dtype = step::Dtype::bf16;
  gemm.a = {BufferId{0}, 0};
  gemm.b = {BufferId{1}, 0};
  gemm.c = {BufferId{2}, 0};
  step::Op op;
  op.name = "product";
  op.work = gemm;
  step::StepGraph graph;
  graph.buffers = {{"a", step::BufferRole::activations, gemm.dtype, gemm.m * gemm.k},
                   {"b", step::BufferRole::activations, gemm.dtype, gemm.k * gemm.n},
                   {"c", step::BufferRole::activations, gemm.dtype, gemm.m * gemm.n}};
  graph.ops = {op};

  cuda::make_current(device);
  const cuda::BlasLt library;
  compute::AlgorithmCache cache("", {}, utc_ns());
  compute::SearchOptions search;
  search.workspace_bytes = kWorkspaceBytes;
  compute::TunedProduct product =
      compute::tune_product(library, compute::problem_of(graph, graph.ops[0], gemm), search, device, cache);
  compute::CudaMemory memory(device);
  step::BufferSet buffers(graph, step::BufferSet::Need::all, RankId{0}, memory);
  const cuda::DeviceMemory workspace(kWorkspaceBytes);
  const cuda::DeviceView view{static_cast<std::byte*>(workspace.data()), workspace.bytes()};
  cuda::MatmulOperands operands;
  operands.a = buffers.at(graph, gemm.a);
  operands.b = buffers.at(graph, gemm.b);
  operands.c = buffers.at(graph, gemm.c);
  const cuda::Stream stream;
  const cuda::Event begin;
  const cuda::Event end;
  const std::vector<cuda::Event> events(2 * kProducts);
  const auto time_s = [&](bool with_events) {
    begin.record(stream);
    for (std::size_t i = 0; i < kProducts; ++i) {
      if (with_events)
        events[2 * i].record(stream);
      product.matmul.run(product.algorithm, operands, view, stream);
      if (with_events)
        events[2 * i + 1].record(stream);
    }
    end.record(stream);
    stream.synchronize();
    return end.seconds_since(begin);
  };
  time_s(true);
  time_s(false);
  std::vector<double> ratios;
  std::vector<double> costs;
  const std::int64_t until_ns = monotonic_ns() + ns_from_seconds(seconds);
  while (ratios.size() < kFewestPairs || monotonic_ns() < until_ns) {
    const bool first = ratios.size() % 2 == 0;
    const double first_s = time_s(first);
    const double second_s = time_s(!first);
    const double on_s = first ? first_s : second_s;
    const double off_s = first ? second_s : first_s;
    ratios.push_back(on_s / off_s);
    costs.push_back((on_s - off_s) / static_cast<double>(kProducts));
  }
  figure("recording.events_on_off {:.6f} ratio products of {} x {} x {} one after the other", median(ratios),
         gemm.m, gemm.n, gemm.k);
  figure("recording.event_pair {:.3f} us", median(costs) * 1e6);
  return std::max(0.0, median(costs));
}

struct Readings {
  std::uint64_t count = 0;
  std::int64_t cost_ns = 0;
  [[nodiscard]] double mean_s() const {
    return count == 0 ? 0.0 : seconds_from_ns(cost_ns) / static_cast<double>(count);
  }
};

cuda::NvmlCard card_of(const cuda::Nvml& nvml, const std::string& pci_bus) {
  std::optional<cuda::NvmlCard> card = nvml.find(pci_bus);
  if (!card)
    throw RunError(
        {.what = "NVML does not know the card " + pci_bus, .why = {}, .suggestion = {}, .file = {}});
  return std::move(*card);
}

/// As a rank reads it.
double step_while_sampled_s(StepBench& bench, cuda::NvmlCard card, double per_second, double seconds,
                            Readings& readings) {
  std::vector<std::unique_ptr<watch::HealthSource>> sources;
  sources.push_back(std::make_unique<watch::NvmlHealth>(std::move(card)));
  watch::HealthSampler::Options options;
  options.per_second = per_second;
  // `readings` is the sampler's until it has ended.
  const watch::HealthSampler sampler(std::move(sources), options, [&readings](const record::HealthRow& row) {
    readings.count += row.readings;
    readings.cost_ns += row.cost_ns;
  });
  return bench.mean_time_s(seconds);
}

double step_while_read_all_the_time_s(StepBench& bench, cuda::NvmlCard card, double seconds,
                                      Readings& readings) {
  const std::jthread reader([&](const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      const std::int64_t begin_ns = monotonic_ns();
      static_cast<void>(card.read());
      readings.cost_ns += monotonic_ns() - begin_ns;
      ++readings.count;
    }
  });
  return bench.mean_time_s(seconds);
}

void measure_nvml(StepBench& bench, int device, double seconds) {
  constexpr std::size_t kPairs = 7;
  constexpr std::size_t kDensePairs = 3;
  const std::string pci_bus = cuda::detect().devices.at(static_cast<std::size_t>(device)).pci_bus_id;
  std::string reason;
  const std::optional<cuda::Nvml> nvml = cuda::Nvml::open(reason);
  if (!nvml)
    throw RunError({.what = "NVML cannot be read", .why = reason, .suggestion = {}, .file = {}});
  const double per_second = plan::Health{}.per_second;

  std::vector<double> ratios;
  Readings sampled;
  for (std::size_t i = 0; i < kPairs; ++i) {
    const auto on = [&] {
      return step_while_sampled_s(bench, card_of(*nvml, pci_bus), per_second, seconds, sampled);
    };
    const double first_s = i % 2 == 0 ? on() : bench.mean_time_s(seconds);
    const double second_s = i % 2 == 0 ? bench.mean_time_s(seconds) : on();
    ratios.push_back(i % 2 == 0 ? first_s / second_s : second_s / first_s);
  }
  figure("nvml.on_off {:.6f} ratio {:g} readings a second, median of {} pairs of {:g} s", median(ratios),
         per_second, kPairs, seconds);
  figure("nvml.reading {:.3f} ms mean of {}", sampled.mean_s() * 1e3, sampled.count);

  std::vector<double> lost_s;  // by one reading
  std::uint64_t most_dense = 0;
  for (std::size_t i = 0; i < kDensePairs; ++i) {
    Readings dense;
    const double on_s = step_while_read_all_the_time_s(bench, card_of(*nvml, pci_bus), seconds, dense);
    const double off_s = bench.mean_time_s(seconds);
    lost_s.push_back((on_s / off_s - 1.0) * dense.mean_s());
    most_dense = std::max(most_dense, dense.count);
  }
  figure("nvml.lost_by_a_reading {:.3f} us of a step's time, {} readings in {:g} s", median(lost_s) * 1e6,
         most_dense, seconds);
  figure("nvml.share {:.9f} ratio of the time, at {:g} readings a second", median(lost_s) * per_second,
         per_second);
}

int run(int device, double seconds) {
  if (const std::string reason = compute::why_no_cuda(device); !reason.empty()) {
    fmt::print("skipped: {}\n", reason);
    return 77;
  }
  const double pair_s = measure_events(device, seconds);
  measure_capture(device, seconds);
  {
    StepBench bench(small_products(), device);
    measure_recording(bench, "8B_layers", seconds, pair_s);
  }
  StepBench bench(large_products(), device);
  measure_recording(bench, "70B_layer", seconds, pair_s);
  measure_nvml(bench, device, seconds);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  int device = 0;
  double seconds = 5.0;
  for (int i = 1; i < argc; ++i) {
    constexpr std::string_view kDevice = "--device=";
    constexpr std::string_view kSeconds = "--seconds=";
    const std::string_view argument = argv[i];
    if (argument.starts_with(kDevice))
      device = std::atoi(argv[i] + kDevice.size());
    else if (argument.starts_with(kSeconds))
      seconds = std::atof(argv[i] + kSeconds.size());
  }
  try {
    return run(device, seconds);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_gpu_overheads: %s\n", error.what());
    return 1;
  }
}
