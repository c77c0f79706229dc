// What the cuda backend reaches on the card at hand, as one line of JSON for each figure:
//
//   bench_cuda [--device=N] [--products]
//
// product     rate of one product, of shapes of the 70B and 405B models at 8192 tokens; median over
//             repetitions in rows, without the first of each row, which waits for its launch
//
// layer       one decoder layer of the 70B model, forward and backward, 8192 tokens: the time of its products
//             in the step against the sum of the same products run alone, and the share of launch gaps
//
// corruption  of 100 planted wrong elements of a product, how many were found
//
// With --products the first of these alone. Ends with 0 when all of it ran, 77 when there is no card, 1
// otherwise. Judges nothing.

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/core.h>

#include "harness/compute/cuda_backend.hpp"
#include "harness/compute/kernel_cache.hpp"
#include "harness/core/error.hpp"
#include "harness/core/hash.hpp"
#include "harness/plan/plan.hpp"
#include "workloads/transformer.hpp"

namespace lockstep::compute {
namespace {

using step::Dtype;
using step::Gemm;

constexpr int kRepetitions = 30;
constexpr std::uint32_t kInARow = 4;  // of one product

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

/// A graph, its backend and its buffers.
class Bench {
 public:
  Bench(step::StepGraph graph, int device) : graph_(std::move(graph)) {
    CudaOptions options;
    options.device = device;
    options.cache_folder = default_cache_folder();
    options.checked_products = 1;
    backend_ = make_cuda_backend(graph_, options, facts_);
    buffers_ =
        std::make_unique<step::BufferSet>(graph_, step::BufferSet::Need::all, RankId{0}, backend_->memory());
    backend_->prepare(*buffers_);
  }

  std::vector<step::OpTimes> run(std::span<const OpId> ops) {
    step::ComputeQueue& queue = *backend_->queue();
    queue.begin_step();
    queue.submit(ops, *buffers_);
    while (queue.completed() < ops.size()) {
    }
    const auto times = queue.times();
    return {times.begin(), times.end()};
  }
  [[nodiscard]] const step::StepGraph& graph() const { return graph_; }
  [[nodiscard]] step::BufferSet& buffers() { return *buffers_; }
  [[nodiscard]] step::ComputeBackend& backend() { return *backend_; }
  [[nodiscard]] const ComputeFacts& facts() const { return facts_; }

 private:
  step::StepGraph graph_;
  ComputeFacts facts_;
  std::unique_ptr<step::ComputeBackend> backend_;
  std::unique_ptr<step::BufferSet> buffers_;
};

double seconds(const step::OpTimes& time) {
  return static_cast<double>(time.end_ns - time.begin_ns) * 1e-9;
}

struct Shape {
  const char* name;
  std::uint64_t m, n, k;
};

/// The same product `count` times.
step::StepGraph product_graph(const Shape& shape, Dtype ab, Dtype c, Gemm::Layout layout,
                              std::uint32_t count = 1) {
  step::StepGraph graph;
  graph.buffers = {{"a", step::BufferRole::activations, ab, shape.m * shape.k},
                   {"b", step::BufferRole::activations, ab, shape.k * shape.n},
                   {"c", step::BufferRole::gradients, c, shape.m * shape.n}};
  Gemm gemm;
  gemm.m = shape.m;
  gemm.n = shape.n;
  gemm.k = shape.k;
  gemm.dtype = ab;
  gemm.layout = layout;
  gemm.a = {BufferId{0}, 0};
  gemm.b = {BufferId{1}, 0};
  gemm.c = {BufferId{2}, 0};
  for (std::uint32_t i = 0; i < count; ++i) {
    step::Op op;
    op.name = fmt::format("product{}", i);
    op.work = gemm;
    graph.ops.push_back(op);
  }
  return graph;
}

void measure_product(const Shape& shape, Dtype ab, Dtype c, Gemm::Layout layout, int device) {
  Bench bench(product_graph(shape, ab, c, layout, kInARow), device);
  std::vector<OpId> row;
  for (std::uint32_t i = 0; i < kInARow; ++i)
    row.emplace_back(i);
  std::vector<double> times;
  while (times.size() < std::size_t{kRepetitions}) {
    const std::vector<step::OpTimes> measured = bench.run(row);
    for (std::size_t i = 1; i < measured.size(); ++i)
      times.push_back(seconds(measured[i]));
  }
  const double time_s = median(times);
  fmt::print(
      "{{\"figure\":\"product\",\"name\":\"{}\",\"m\":{},\"n\":{},\"k\":{},\"dtype\":\"{}\",\"median_s\":{:."
      "9f},"
      "\"tflops\":{:.1f},\"search\":\"{}\"}}\n",
      shape.name, shape.m, shape.n, shape.k, to_string(ab), time_s,
      bench.graph().ops[0].flops() / time_s * 1e-12, bench.facts().details.front().value);
}

void measure_products(int device) {
  const Shape shapes[] = {{"8192^3", 8192, 8192, 8192},
                          {"70B qkv", 8192, 10240, 8192},
                          {"70B projection", 8192, 8192, 8192},
                          {"70B gate_up", 8192, 57344, 8192},
                          {"70B down", 8192, 8192, 28672},
                          {"405B qkv", 8192, 18432, 16384},
                          {"405B projection", 8192, 16384, 16384},
                          {"405B gate_up", 8192, 106496, 16384},
                          {"405B down", 8192, 16384, 53248}};
  for (const Shape& shape : shapes) {
    measure_product(shape, Dtype::bf16, Dtype::bf16, Gemm::Layout::nt, device);
    measure_product(shape, Dtype::e4m3, Dtype::bf16, Gemm::Layout::nt, device);
  }
}

void measure_layer(plan::WorkloadDtype dtype, int device) {
  plan::Workload workload;
  workload.model = {"70B layer", 1, 8192, 28672, 64, 8, 128, 128, true};
  workload.sequence_length = 8192;
  workload.dtype = dtype;
  Bench bench(workloads::build_transformer(workload, {{1}}), device);
  std::vector<OpId> products;
  for (std::uint32_t i = 0; i < bench.graph().ops.size(); ++i) {
    if (std::holds_alternative<Gemm>(bench.graph().ops[i].work))
      products.emplace_back(i);
  }
  double alone_s = 0.0;
  for (const OpId product : products) {
    std::vector<double> times;
    for (int i = 0; i < kRepetitions; ++i)
      times.push_back(seconds(bench.run({&product, 1}).front()));
    alone_s += median(times);
  }
  std::vector<double> together;
  std::vector<double> gaps;
  for (int i = 0; i < kRepetitions; ++i) {
    const std::vector<step::OpTimes> times = bench.run(products);
    double busy_s = 0.0;
    for (const step::OpTimes& time : times)
      busy_s += seconds(time);
    const double span_s = static_cast<double>(times.back().end_ns - times.front().begin_ns) * 1e-9;
    together.push_back(busy_s);
    gaps.push_back((span_s - busy_s) / span_s);
  }
  fmt::print(
      "{{\"figure\":\"layer\",\"dtype\":\"{}\",\"products\":{},\"alone_s\":{:.9f},\"in_step_s\":{:.9f},"
      "\"ratio\":{:.4f},\"launch_gap_share\":{:.4f}}}\n",
      to_string(dtype), products.size(), alone_s, median(together), median(together) / alone_s, median(gaps));
}

void measure_corruption(int device) {
  Bench bench(product_graph({"gradient", 4096, 4096, 8192}, Dtype::bf16, Dtype::f32, Gemm::Layout::tn),
              device);
  const std::vector<OpId> op = {OpId{0}};
  int found = 0;
  int false_alarms = 0;
  for (std::uint64_t i = 0; i < 100; ++i) {
    bench.run(op);
    false_alarms += bench.backend().check_products(0, bench.buffers()).empty() ? 0 : 1;
    const std::uint64_t element = mix64(i) % (4096ULL * 4096);
    std::byte* at = bench.buffers().at(bench.graph(), {BufferId{2}, element});
    std::vector<std::byte> value(4);
    bench.buffers().read(at, value);
    // The highest bit of the exponent: a large number vanishes, a small one becomes huge. A lower bit would
    // change some elements by less than the check can tell from rounding.
    value[3] ^= std::byte{0x40};
    bench.buffers().write(at, value);
    const auto wrong = bench.backend().check_products(0, bench.buffers());
    found += wrong.size() == 1 && wrong[0].column == element % 4096 ? 1 : 0;
  }
  fmt::print("{{\"figure\":\"corruption\",\"planted\":100,\"found\":{},\"false_alarms\":{}}}\n", found,
             false_alarms);
}

int run(int device, bool products_alone) {
  if (const std::string reason = why_no_cuda(device); !reason.empty()) {
    fmt::print("{{\"figure\":\"none\",\"skipped\":\"{}\"}}\n", reason);
    return 77;
  }
  measure_products(device);
  if (products_alone)
    return 0;
  for (const plan::WorkloadDtype dtype : {plan::WorkloadDtype::bf16, plan::WorkloadDtype::fp8})
    measure_layer(dtype, device);
  measure_corruption(device);
  return 0;
}

}  // namespace
}  // namespace lockstep::compute

int main(int argc, char** argv) {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);  // figures that are there stay, whatever ends this
  int device = 0;
  bool products_alone = false;
  for (int i = 1; i < argc; ++i) {
    constexpr std::string_view kDevice = "--device=";
    const std::string_view argument = argv[i];
    if (argument.starts_with(kDevice))
      device = std::atoi(argv[i] + kDevice.size());
    else if (argument == "--products")
      products_alone = true;
  }
  try {
    return lockstep::compute::run(device, products_alone);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
