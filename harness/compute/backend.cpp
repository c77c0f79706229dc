#include "harness/compute/backend.hpp"

#include <utility>

#include <fmt/core.h>

#include "harness/compute/cpu_backend.hpp"
#include "harness/compute/cuda_backend.hpp"
#include "harness/compute/kernel_cache.hpp"
#include "harness/compute/paced_backend.hpp"
#include "harness/core/error.hpp"

namespace lockstep::compute {
namespace {

void refuse_without_cuda(int device) {
  const std::string reason = why_no_cuda(device);
  if (reason.empty())
    return;
  throw InputError({.what = "compute.backend = \"cuda\" cannot be used here",
                    .why = reason,
                    .suggestion = "use \"cpu\" or \"paced\", or run where a GPU is",
                    .file = {}});
}

CaptureMode capture_mode(plan::GraphCapture capture) {
  switch (capture) {
    case plan::GraphCapture::off:
      return CaptureMode::off;
    case plan::GraphCapture::automatic:
      return CaptureMode::automatic;
    case plan::GraphCapture::on:
      return CaptureMode::on;
  }
  LOCKSTEP_EXPECT(false, "no such way to capture");
}

ComputeSetup make_cuda(const ComputeChoice& choice, const step::StepGraph& graph) {
  CudaOptions options;
  options.device = choice.device;
  options.cache_folder = default_cache_folder();
  options.capture = capture_mode(choice.compute.graphs);
  options.fabric_bytes = choice.fabric_bytes;
  ComputeSetup setup;
  setup.backend = make_cuda_backend(graph, options, setup.facts);
  return setup;
}

ComputeSetup make_cpu(const KernelReport& report, const step::StepGraph& graph) {
  SgemmLibrary library = SgemmLibrary::load(report.chosen);
  ComputeSetup setup;
  setup.facts.details = report.facts();
  if (report.chosen.core_name.empty() && !library.kernel().core_name.empty())
    setup.facts.details.push_back({"compute.kernel.core", library.kernel().core_name});
  setup.facts.peak_gflops = measure_peak_gflops(library);
  setup.facts.details.push_back({"compute.peak_gflops", fmt::format("{:.1f}", setup.facts.peak_gflops)});
  setup.backend = make_cpu_backend(graph, std::move(library));
  return setup;
}

ComputeSetup make_paced(const plan::Compute& compute, const step::StepGraph& graph) {
  ComputeSetup setup;
  setup.backend = make_paced_backend(graph, {compute.paced_gflops, compute.paced_memory_gbps});
  setup.facts.details = {{"compute.paced_gflops", fmt::format("{}", compute.paced_gflops)},
                         {"compute.paced_memory_gbps", fmt::format("{}", compute.paced_memory_gbps)}};
  return setup;
}

}  // namespace

ComputeChoice choose_compute(const plan::Compute& compute) {
  switch (compute.backend) {
    case plan::ComputeBackend::cpu:
      return {compute, choose_gemm_kernel(compute.kernel)};
    case plan::ComputeBackend::paced:
      return {compute, {}};
    case plan::ComputeBackend::cuda:
      refuse_without_cuda(0);
      return {compute, {}};
  }
  LOCKSTEP_EXPECT(false, "no such compute backend");
  return {};
}

ComputeSetup make_compute_backend(const ComputeChoice& choice, const step::StepGraph& graph) {
  ComputeSetup setup;
  switch (choice.compute.backend) {
    case plan::ComputeBackend::cpu:
      setup = make_cpu(choice.kernel, graph);
      break;
    case plan::ComputeBackend::paced:
      setup = make_paced(choice.compute, graph);
      break;
    case plan::ComputeBackend::cuda:
      setup = make_cuda(choice, graph);
      break;
  }
  setup.facts.description = setup.backend->name();
  return setup;
}

ComputeSetup make_compute_backend(const plan::Compute& compute, const step::StepGraph& graph) {
  return make_compute_backend(choose_compute(compute), graph);
}

}  // namespace lockstep::compute
