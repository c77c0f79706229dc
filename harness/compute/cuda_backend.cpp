#include "harness/compute/cuda_backend.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "harness/compute/adam_update.hpp"
#include "harness/compute/cuda_checks.hpp"
#include "harness/compute/cuda_memory.hpp"
#include "harness/compute/cuda_products.hpp"
#include "harness/compute/device_plan.hpp"
#include "harness/core/clock.hpp"
#include "harness/core/error.hpp"
#include "harness/cuda/device.hpp"
#include "harness/cuda/optimizer.hpp"

namespace lockstep::compute {
namespace {

constexpr int kClockReadings = 20;

cuda::DeviceInfo chosen_device(int index) {
  const cuda::Detection found = cuda::detect();
  if (const std::string reason = why_no_cuda(index); !reason.empty())
    throw cuda::CudaError("choosing GPU " + std::to_string(index), -1, "not usable", reason);
  return found.devices[static_cast<std::size_t>(index)];
}

/// Makes a device current before the members that follow are made.
struct Current {
  explicit Current(int device) { cuda::make_current(device); }
};

DeviceLimits limits_of(const cuda::DeviceInfo& device, std::uint64_t fabric_bytes) {
  DeviceLimits limits;
  limits.free_bytes = cuda::memory_state().free_bytes;
  limits.l2_bytes = device.l2_bytes;
  limits.fabric_bytes = fabric_bytes;
  return limits;
}

void check_update(const step::StepGraph& graph, const step::Op& op, const step::Update& update) {
  std::vector<BufferId> in_f32 = update.gradients;
  for (const step::BufferRef ref : {update.parameters, update.first_moment, update.second_moment})
    in_f32.push_back(ref.buffer);
  for (const BufferId id : in_f32) {
    if (graph.buffer(id).dtype == step::Dtype::f32)
      continue;
    throw InputError(
        {.what = "op " + op.name + " updates " + to_string(graph.buffer(id).dtype) + " numbers",
         .why = "the optimizer of compute backend cuda keeps everything in f32, but for the copy",
         .suggestion = "keep gradients, parameters and moments in f32",
         .file = {}});
  }
}

class CudaBackend final : public step::ComputeBackend {
 public:
  CudaBackend(const step::StepGraph& graph, const CudaOptions& options, ComputeFacts& facts)
      : graph_(graph),
        options_(options),
        device_(chosen_device(options.device)),
        current_(options.device),
        memory_(options.device),
        limits_(limits_of(device_, options.fabric_bytes)),
        plan_(plan_device(graph, limits_)),
        checks_(graph, library_, options.device, limits_.workspace_bytes),
        product_of_(graph.ops.size(), nullptr) {
    std::vector<double> expected_s = tune(facts);
    workspace_ = cuda::DeviceMemory(limits_.workspace_bytes);
    const float one = 1.0F;
    one_.copy_from_host(std::as_bytes(std::span<const float>(&one, 1)));
    queue_.emplace(
        graph, options.device,
        [this](const step::Op& op, step::BufferSet& buffers, const cuda::Stream& stream) {
          enqueue(op, buffers, stream);
        },
        options.capture, std::move(expected_s));
    queue_->calibrate(kClockReadings);
    describe(facts);
  }

  void prepare(step::BufferSet& buffers) override {
    cuda::make_current(options_.device);
    for (const Rotation& rotation : plan_.rotations) {
      const std::span<std::byte> original = buffers.bytes(rotation.buffer);
      auto& copies = copies_[rotation.buffer.value()];
      for (std::uint32_t i = 0; i < rotation.copies; ++i) {
        copies.emplace_back(original.size());
        cuda::copy_on_device(static_cast<std::byte*>(copies.back().data()), original.data(), original.size());
      }
    }
  }

  void run(const step::Op& op, step::BufferSet& buffers, std::int64_t /*ready_ns*/) override {
    queue_->run_alone(op, buffers);
  }
  [[nodiscard]] step::ComputeQueue* queue() override { return &*queue_; }
  [[nodiscard]] std::vector<step::WrongProduct> check_products(std::uint32_t /*step*/,
                                                               step::BufferSet& buffers) override {
    return checks_.check(buffers, options_.checked_products);
  }
  [[nodiscard]] step::Memory& memory() override { return memory_; }
  [[nodiscard]] std::string name() const override { return "cuda " + device_.name; }
  [[nodiscard]] int busy_threads() const override { return 1; }  // it polls while the device computes
  [[nodiscard]] step::BufferSet::Need buffers_needed() const override { return step::BufferSet::Need::all; }

 private:
  /// Gets every product and the optimizer ready. Returns what each op takes alone, 0 where unknown.
  std::vector<double> tune(ComputeFacts& facts) {
    AlgorithmCache cache(options_.cache_folder,
                         {device_.name, cuda::cublaslt_version(), cuda::detect().versions.driver}, utc_ns());
    SearchOptions search;
    search.candidates = options_.candidates;
    search.budget_s = options_.search_budget_s;
    search.workspace_bytes = limits_.workspace_bytes;
    search.l2_bytes = limits_.l2_bytes;
    std::vector<double> expected_s(graph_.ops.size(), 0.0);
    for (std::size_t i = 0; i < graph_.ops.size(); ++i) {
      const step::Op& op = graph_.ops[i];
      if (const auto* update = std::get_if<step::Update>(&op.work)) {
        check_update(graph_, op, *update);
        if (!optimizer_)
          optimizer_.emplace();
        continue;
      }
      const auto* gemm = std::get_if<step::Gemm>(&op.work);
      if (gemm == nullptr)
        continue;
      const cuda::MatmulProblem problem = problem_of(graph_, op, *gemm);
      const std::string name = name_of(problem);
      auto found = products_.find(name);
      if (found == products_.end()) {
        found =
            products_.emplace(name, tune_product(library_, problem, search, options_.device, cache)).first;
        note_product(found->second, facts);
      }
      product_of_[i] = &found->second;
      expected_s[i] = found->second.seconds;
    }
    if (const std::string trouble = cache.store(utc_ns()); !trouble.empty())
      facts.details.push_back({"compute.algorithms.note", trouble});
    return expected_s;
  }

  static void note_product(const TunedProduct& product, ComputeFacts& facts) {
    facts.details.push_back(fact_of(product));
    if (product.seconds > 0.0)
      facts.peak_gflops =
          std::max(facts.peak_gflops, product.matmul.problem().flops() / product.seconds * 1e-9);
  }

  void describe(ComputeFacts& facts) const {
    const cuda::LibraryVersions versions = cuda::detect().versions;
    const auto note = [&facts](const char* key, std::string value) {
      facts.details.push_back({std::string("compute.") + key, std::move(value)});
    };
    note("card", device_.name);
    note("card.pci", device_.pci_bus_id);
    note("card.memory", gib(device_.memory_bytes));
    note("card.capability", fmt::format("{}.{}", device_.compute_major, device_.compute_minor));
    note("cuda.runtime", versions.runtime);
    note("cuda.driver", versions.driver);
    note("cublaslt", versions.cublaslt);
    note("cublaslt.file", cuda::cublaslt_path());
    note("memory.buffers", gib(plan_.buffer_bytes));
    note("memory.rotation", gib(plan_.rotation_bytes));
    note("memory.fabric", gib(plan_.fabric_bytes));
    note("memory.free", gib(limits_.free_bytes));
    note("clock.error_ns", std::to_string(queue_->clock().error_ns(0.0)));
    note("checked_products", std::to_string(checks_.checkable()));
    note("peak_gflops", fmt::format("{:.1f}", facts.peak_gflops));
  }

  /// Which of a graph's ops it is.
  [[nodiscard]] std::size_t index_of(const step::Op& op) const {
    return static_cast<std::size_t>(&op - graph_.ops.data());
  }

  /// Where an operand of op number `index` lies. Buffers that nothing writes are taken in turns with their
  /// copies.
  [[nodiscard]] const std::byte* operand(step::BufferRef ref, std::size_t index,
                                         step::BufferSet& buffers) const {
    const auto found = copies_.find(ref.buffer.value());
    const std::size_t turn = found == copies_.end() ? 0 : index % (found->second.size() + 1);
    if (turn == 0)
      return buffers.at(graph_, ref);
    return static_cast<const std::byte*>(found->second[turn - 1].data()) +
           ref.offset * bytes_of(graph_.buffer(ref.buffer).dtype);
  }

  void enqueue(const step::Op& op, step::BufferSet& buffers, const cuda::Stream& stream) {
    const std::size_t index = index_of(op);
    LOCKSTEP_EXPECT(index < graph_.ops.size(), "an op of another graph");
    if (const auto* gemm = std::get_if<step::Gemm>(&op.work)) {
      multiply(*gemm, index, buffers, stream);
    } else if (const auto* update = std::get_if<step::Update>(&op.work)) {
      apply(*update, buffers, stream);
    } else {
      LOCKSTEP_EXPECT(false, "a communication on the compute stream");
    }
  }

  void multiply(const step::Gemm& gemm, std::size_t index, step::BufferSet& buffers,
                const cuda::Stream& stream) {
    TunedProduct& product = *product_of_[index];
    cuda::MatmulOperands operands;
    operands.a = operand(gemm.a, index, buffers);
    operands.b = operand(gemm.b, index, buffers);
    operands.c = buffers.at(graph_, gemm.c);
    if (product.matmul.problem().scaled)
      operands.a_scale = operands.b_scale = static_cast<const float*>(one_.data());
    product.matmul.run(product.algorithm, operands,
                       {static_cast<std::byte*>(workspace_.data()), workspace_.bytes()}, stream);
  }

  void apply(const step::Update& update, step::BufferSet& buffers, const cuda::Stream& stream) const {
    const AdamSettings settings;
    const cuda::AdamCoefficients coefficients{settings.rate, settings.first_decay, settings.second_decay,
                                              settings.epsilon, settings.weight_decay};
    std::uint64_t done = 0;
    for (const BufferId id : update.gradients) {
      const auto behind = [done](step::BufferRef ref) {
        return step::BufferRef{ref.buffer, ref.offset + done};
      };
      cuda::AdamArrays arrays;
      arrays.elements = graph_.buffer(id).elements;
      arrays.gradients = buffers.floats({id, 0});
      arrays.parameters = buffers.floats(behind(update.parameters));
      arrays.first_moments = buffers.floats(behind(update.first_moment));
      arrays.second_moments = buffers.floats(behind(update.second_moment));
      if (update.copy) {
        arrays.copy = buffers.at(graph_, behind(*update.copy));
        arrays.copy_type = element_of(graph_.buffer(update.copy->buffer).dtype);
      }
      optimizer_->run(arrays, coefficients, stream);
      done += arrays.elements;
    }
  }

  const step::StepGraph& graph_;
  const CudaOptions options_;
  const cuda::DeviceInfo device_;
  const Current current_;
  CudaMemory memory_;
  const cuda::BlasLt library_;
  const DeviceLimits limits_;
  const DevicePlan plan_;
  CudaChecks checks_;
  std::map<std::string, TunedProduct> products_;  // by name
  std::vector<TunedProduct*> product_of_;         // by op; null where it is none
  std::optional<cuda::AdamKernel> optimizer_;
  cuda::DeviceMemory workspace_{0};
  cuda::DeviceMemory one_{sizeof(float)};
  std::map<std::uint32_t, std::vector<cuda::DeviceMemory>> copies_;  // by buffer
  std::optional<CudaQueue> queue_;
};

}  // namespace

std::string why_no_cuda(int device) {
  const cuda::Detection found = cuda::detect();
  if (found.state != cuda::DeviceState::ready)
    return found.reason;
  if (device < 0 || static_cast<std::size_t>(device) >= found.devices.size())
    return fmt::format("there is no GPU {}: this process may see {}", device, found.devices.size());
  if (cuda::cublaslt_version().empty())
    return "cuBLASLt is not part of this build, or not installed here";
  return {};
}

std::unique_ptr<step::ComputeBackend> make_cuda_backend(const step::StepGraph& graph,
                                                        const CudaOptions& options, ComputeFacts& facts) {
  return std::make_unique<CudaBackend>(graph, options, facts);
}

}  // namespace lockstep::compute
