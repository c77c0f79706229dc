// What recording costs: one stamp, and a whole step with recording on against off.

#include <algorithm>
#include <cstdio>
#include <vector>

#include <benchmark/benchmark.h>

#include "harness/core/clock.hpp"
#include "harness/core/posix.hpp"
#include "harness/step/executor.hpp"

namespace lockstep::step {
namespace {

/// Busy work of a fixed amount, the same with and without recording.
class SpinningCompute final : public ComputeBackend {
 public:
  void run(const Op& /*op*/, BufferSet& /*buffers*/, std::int64_t /*ready_ns*/) override {
    for (std::uint64_t i = 0; i < kTurns; ++i)
      benchmark::DoNotOptimize(state_ = state_ * 6364136223846793005ULL + 1442695040888963407ULL);
  }
  [[nodiscard]] std::string name() const override { return "spinning"; }
  [[nodiscard]] int busy_threads() const override { return 1; }
  [[nodiscard]] BufferSet::Need buffers_needed() const override { return BufferSet::Need::communicated; }

 private:
  static constexpr std::uint64_t kTurns = 40'000;  // about 50 us: a small GEMM
  std::uint64_t state_ = 1;
};

class InstantFabric final : public FabricBackend {
 public:
  Ticket start(const Comm& /*comm*/, const StepGraph& /*graph*/, BufferSet& /*buffers*/) override {
    return 0;
  }
  CommState test(Ticket /*ticket*/) override { return CommState::done; }
  [[nodiscard]] std::string error_text(Ticket /*ticket*/) const override { return {}; }
  [[nodiscard]] std::string name() const override { return "instant"; }
};

/// 200 compute ops and 10 communications, as in a step of a small transformer.
StepGraph step_of_210_ops() {
  StepGraph graph;
  graph.groups.push_back({"world", {{RankId{0}}}, false});
  graph.buffers.push_back({"from", BufferRole::gradients, Dtype::f32, 64});
  graph.buffers.push_back({"to", BufferRole::reduced, Dtype::f32, 64});
  for (std::uint32_t i = 0; i < 200; ++i) {
    Gemm gemm;
    gemm.m = gemm.n = gemm.k = 1;
    graph.ops.push_back({"gemm" + std::to_string(i), Phase::forward, gemm, {}});
    if (i % 20 == 19) {
      Comm comm;
      comm.kind = CommKind::all_reduce;
      comm.elements = 64;
      comm.to = {BufferId{1}, 0};
      graph.ops.push_back({"comm" + std::to_string(i),
                           Phase::backward,
                           comm,
                           {OpId{static_cast<std::uint32_t>(graph.ops.size() - 1)}}});
    }
  }
  return graph;
}

/// Stamps in a mapped file, as a journal has them.
struct MappedRecording {
  static constexpr std::uint32_t kSteps = 4096;
  static constexpr std::uint32_t kKept = 5;
  explicit MappedRecording(const StepGraph& graph) {
    view.ops_per_step = static_cast<std::uint32_t>(graph.ops.size());
    view.comms_per_step = static_cast<std::uint32_t>(graph.comm_ops().size());
    view.kept_steps = kKept;
    const std::size_t ops = std::size_t{kKept} * view.ops_per_step;
    const std::size_t comms = std::size_t{kSteps} * view.comms_per_step;
    file = MappedFile::create("recording_bench.journal",
                              ops * sizeof(OpStamp) + comms * sizeof(CommStamp) + kSteps * sizeof(StepStamp));
    std::remove("recording_bench.journal");
    std::byte* at = file.bytes().data();
    view.ops = {reinterpret_cast<OpStamp*>(at), ops};
    at += ops * sizeof(OpStamp);
    view.comms = {reinterpret_cast<CommStamp*>(at), comms};
    at += comms * sizeof(CommStamp);
    view.steps = {reinterpret_cast<StepStamp*>(at), kSteps};
  }
  MappedFile file;
  Recording view;
};

void stamp(benchmark::State& state) {
  const StepGraph graph = step_of_210_ops();
  MappedRecording recording(graph);
  const FastClock clock;
  std::size_t slot = 0;
  for (auto _ : state) {
    std::atomic_ref<std::int64_t>(recording.view.ops[slot].end_ns)
        .store(clock.now_ns(), std::memory_order_release);
    slot = slot + 1 == recording.view.ops.size() ? 0 : slot + 1;
  }
  state.SetLabel(std::string("clock: ") + clock.source());
}
BENCHMARK(stamp);

void kernel_clock_alone(benchmark::State& state) {
  for (auto _ : state)
    benchmark::DoNotOptimize(monotonic_ns());
}
BENCHMARK(kernel_clock_alone);

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2),
                   values.end());
  return values[values.size() / 2];
}

/// Pairs of steps, one recorded and one not, in alternating order; the ratio of each pair, and its median.
void recorded_against_unrecorded_step(benchmark::State& state) {
  const StepGraph graph = step_of_210_ops();
  SpinningCompute compute;
  InstantFabric fabric;
  BufferSet buffers(graph, BufferSet::Need::all, RankId{0});
  FastClock clock;
  MappedRecording recording(graph);
  ExecutorOptions options;
  options.wait = WaitMode::backoff;
  Executor with(graph, compute, fabric, buffers, clock, recording.view, nullptr, options);
  Executor without(graph, compute, fabric, buffers, clock, Recording{}, nullptr, options);
  std::uint32_t step = 0;
  const auto timed = [&](Executor& executor) {
    const std::int64_t begin = monotonic_ns();
    executor.run_step(step % MappedRecording::kSteps, 0);
    return static_cast<double>(monotonic_ns() - begin);
  };
  std::vector<double> ratios;
  std::vector<double> plain;
  for (auto _ : state) {
    double on = 0;
    double off = 0;
    if (step % 2 == 0) {
      on = timed(with);
      off = timed(without);
    } else {
      off = timed(without);
      on = timed(with);
    }
    ++step;
    ratios.push_back(on / off);
    plain.push_back(off);
  }
  state.counters["step_ms"] = median(plain) * 1e-6;
  state.counters["ratio_p50"] = median(ratios);
}
BENCHMARK(recorded_against_unrecorded_step)->Iterations(400)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace lockstep::step

BENCHMARK_MAIN();
