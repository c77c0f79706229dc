#pragma once

#include <cstdint>
#include <memory>

#include "harness/compute/facts.hpp"
#include "harness/compute/kernel_choice.hpp"
#include "harness/plan/plan.hpp"
#include "harness/step/backends.hpp"

namespace lockstep::compute {

/// A backend, ready to run, with what is to be recorded about it.
struct ComputeSetup {
  std::unique_ptr<step::ComputeBackend> backend;
  ComputeFacts facts;
};

/// What is settled before MPI_Init, because it starts processes and loads a library.
struct ComputeChoice {
  plan::Compute compute;
  KernelReport kernel;             ///< meaningful for the cpu backend only
  int device = 0;                  ///< cuda: as CUDA numbers the devices that this process may see
  std::uint64_t fabric_bytes = 0;  ///< cuda: of buffers that the fabric adds to the graph's on the device
};

/// Chooses the kernel that the plan's backend needs (cpu), or nothing. Throws InputError and RunError as
/// choose_gemm_kernel() does, and InputError for a backend that this build does not have.
[[nodiscard]] ComputeChoice choose_compute(const plan::Compute& compute);

/// Builds the backend for the graph; for cpu, loads the library and measures its peak on this rank, which
/// takes about half a second; for cuda, searches algorithms as make_cuda_backend() does. Throws InputError
/// when the graph does not suit the backend, RunError when the library does not load.
[[nodiscard]] ComputeSetup make_compute_backend(const ComputeChoice& choice, const step::StepGraph& graph);

/// Both in one, where no MPI is involved.
[[nodiscard]] ComputeSetup make_compute_backend(const plan::Compute& compute, const step::StepGraph& graph);

}  // namespace lockstep::compute
