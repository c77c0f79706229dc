// How near the cpu backend comes to the best GEMM kernel of this machine: C = A * B at 2048^3, f32, one
// thread.
//
// Every candidate is measured by itself in a process of its own, in the same run and in random order with the
// backend, and the last line gives the ratio. CPU time of the computing thread is counted throughout.
//
//   bench_gemm [--kernel=NAME] [Google Benchmark's options]
//
// The kernel is chosen as a run would choose it, unless it is named. The helper lockstep-gemm-probe has to be
// beside this program, or named by LOCKSTEP_GEMM_PROBE.

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <benchmark/benchmark.h>
#include <fmt/core.h>

#include "harness/compute/backend.hpp"
#include "harness/compute/cpu_backend.hpp"
#include "harness/core/clock.hpp"
#include "harness/core/error.hpp"
#include "harness/core/units.hpp"

namespace lockstep::compute {
namespace {

constexpr std::uint64_t kExtent = 2048;
constexpr double kFlops = 2.0 * kExtent * kExtent * kExtent;
constexpr double kBudget_s = 1.0;  // wall time of one repetition of a series
constexpr const char* kBackend = "cpu_backend";

double thread_cpu_s() {
  timespec t{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

step::StepGraph one_product() {
  step::StepGraph graph;
  for (const char* name : {"a", "b", "c"}) {
    step::Buffer buffer;
    buffer.name = name;
    buffer.elements = kExtent * kExtent;
    graph.buffers.push_back(buffer);
  }
  step::Gemm gemm;
  gemm.m = gemm.n = gemm.k = kExtent;
  gemm.a = {BufferId{0}, 0};
  gemm.b = {BufferId{1}, 0};
  gemm.c = {BufferId{2}, 0};
  step::Op op;
  op.name = "product";
  op.work = gemm;
  graph.ops.push_back(op);
  return graph;
}

/// Rates of each series, GFLOP/s, one for each repetition.
using Rates = std::map<std::string, std::vector<double>>;

void note(benchmark::State& state, Rates& rates, const std::string& name, double gflops) {
  state.counters["GFLOP/s"] = gflops;
  rates[name].push_back(gflops);
}

/// Repeats as the probe does: one product that is not measured, then until the time is spent, eight at most.
void measure_backend(benchmark::State& state, step::ComputeBackend& backend, const step::StepGraph& graph,
                     step::BufferSet& buffers, Rates& rates) {
  double best_s = 0.0;
  for ([[maybe_unused]] auto _ : state) {
    const double give_up_s = seconds_from_ns(monotonic_ns()) + kBudget_s;
    backend.run(graph.ops[0], buffers, 0);
    int repetitions = 0;
    do {
      const double begin_s = thread_cpu_s();
      backend.run(graph.ops[0], buffers, 0);
      const double took_s = thread_cpu_s() - begin_s;
      best_s = repetitions == 0 ? took_s : std::min(best_s, took_s);
      ++repetitions;
    } while (repetitions < 8 && seconds_from_ns(monotonic_ns()) + best_s < give_up_s);
    state.SetIterationTime(best_s);
  }
  note(state, rates, kBackend, kFlops / best_s * 1e-9);
}

void measure_candidate(benchmark::State& state, const std::string& program, const GemmKernel& kernel,
                       Rates& rates) {
  for ([[maybe_unused]] auto _ : state) {
    const KernelMeasurement row = run_probe(program, kernel, {kExtent, kBudget_s, 60.0});
    if (row.status != KernelStatus::measured) {
      state.SkipWithError((std::string(to_string(row.status)) + " " + row.detail).c_str());
      return;
    }
    state.SetIterationTime(kFlops / (row.gflops * 1e9));
    note(state, rates, kernel.name, row.gflops);
  }
}

double best(const std::vector<double>& values) {
  return *std::max_element(values.begin(), values.end());
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : 0.5 * (values[half - 1] + values[half]);
}

void summarise(const Rates& rates, const std::string& kernel) {
  const auto ours = rates.find(kBackend);
  std::string best_name;
  for (const auto& [name, values] : rates) {
    if (name != kBackend && (best_name.empty() || median(values) > median(rates.at(best_name))))
      best_name = name;
  }
  if (ours == rates.end() || best_name.empty()) {
    fmt::print("no ratio: the backend and a candidate have to run\n");
    return;
  }
  const auto& theirs = rates.at(best_name);
  fmt::print(
      "cpu backend ({}) {:.1f} GFLOP/s, best candidate ({}) {:.1f} GFLOP/s, medians of {} and {} "
      "repetitions\n"
      "ratio ours / best candidate: {:.3f} of medians, {:.3f} of fastest repetitions\n",
      kernel, median(ours->second), best_name, median(theirs), ours->second.size(), theirs.size(),
      median(ours->second) / median(theirs), best(ours->second) / best(theirs));
}

std::string take_kernel_option(int& argc, char** argv) {
  constexpr std::string_view kOption = "--kernel=";
  std::string kernel = "auto";
  int kept = 1;
  for (int i = 1; i < argc; ++i) {
    if (std::string_view(argv[i]).starts_with(kOption))
      kernel = std::string_view(argv[i]).substr(kOption.size());
    else
      argv[kept++] = argv[i];
  }
  argc = kept;
  argv[argc] = nullptr;
  return kernel;
}

int run(int argc, char** argv) {
  const std::string wanted = take_kernel_option(argc, argv);
  // Interleaved, so that drift of the machine falls on all alike; the caller's options come later and win.
  std::vector<std::string> defaults{argv[0], "--benchmark_repetitions=5",
                                    "--benchmark_enable_random_interleaving=true"};
  std::vector<char*> arguments;
  arguments.reserve(defaults.size() + static_cast<std::size_t>(argc));
  for (std::string& text : defaults)
    arguments.push_back(text.data());
  arguments.insert(arguments.end(), argv + 1, argv + argc);
  int count = static_cast<int>(arguments.size());
  arguments.push_back(nullptr);
  benchmark::Initialize(&count, arguments.data());
  if (benchmark::ReportUnrecognizedArguments(count, arguments.data()))
    return static_cast<int>(ExitCode::bad_input);

  const ChoiceOptions options = default_choice_options();
  if (options.probe_program.empty()) {
    std::fprintf(stderr, "bench_gemm: %s is not beside this program; set LOCKSTEP_GEMM_PROBE to its path\n",
                 kProbeProgram);
    return static_cast<int>(ExitCode::run_failed);
  }
  const KernelReport report = choose_gemm_kernel(wanted, options);
  for (const Fact& fact : report.facts())
    benchmark::AddCustomContext(fact.key, fact.value);

  const step::StepGraph graph = one_product();
  step::BufferSet buffers(graph, step::BufferSet::Need::all, RankId{0});
  const auto backend = make_cpu_backend(graph, SgemmLibrary::load(report.chosen));
  Rates rates;
  benchmark::RegisterBenchmark(
      kBackend, [&](benchmark::State& state) { measure_backend(state, *backend, graph, buffers, rates); })
      ->UseManualTime()
      ->Iterations(1)
      ->Unit(benchmark::kMillisecond);
  for (const CatalogEntry& entry : list_kernels(options.features, report.libraries)) {
    if (entry.probing == CatalogEntry::Probing::on_request)
      continue;
    benchmark::RegisterBenchmark(("candidate/" + entry.kernel.name).c_str(),
                                 [&, kernel = entry.kernel](benchmark::State& state) {
                                   measure_candidate(state, options.probe_program, kernel, rates);
                                 })
        ->UseManualTime()
        ->Iterations(1)
        ->Unit(benchmark::kMillisecond);
  }
  benchmark::RunSpecifiedBenchmarks();
  summarise(rates, report.chosen.name);
  return 0;
}

}  // namespace
}  // namespace lockstep::compute

int main(int argc, char** argv) {
  try {
    return lockstep::compute::run(argc, argv);
  } catch (const lockstep::InputError& error) {
    std::fprintf(stderr, "bench_gemm: %s\n", error.what());
    return static_cast<int>(lockstep::ExitCode::bad_input);
  } catch (const lockstep::RunError& error) {
    std::fprintf(stderr, "bench_gemm: %s\n", error.what());
    return static_cast<int>(lockstep::ExitCode::run_failed);
  }
}
