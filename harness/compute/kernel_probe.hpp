#pragma once

#include <cstdint>
#include <string>

#include "harness/compute/kernel_measurement.hpp"

/// Measures a kernel in a process of its own, so that a crash, a hang or a library's global state stays
/// there.
namespace lockstep::compute {

/// What the child is asked to do.
struct ProbeRequest {
  std::uint64_t extent = 0;  ///< of the square matrices
  double budget_s = 0.0;     ///< wall time for the repetitions
  double deadline_s = 0.0;   ///< the child is killed this long after its start
};

/// Name of the helper program.
constexpr const char* kProbeProgram = "lockstep-gemm-probe";

/// The helper: $LOCKSTEP_GEMM_PROBE, else the file of that name beside the running executable, else empty.
[[nodiscard]] std::string find_probe_program();

/// Starts `program` for one kernel and waits for it, `deadline_s` at most. Never throws for what the child
/// does.
[[nodiscard]] KernelMeasurement run_probe(const std::string& program, const GemmKernel& kernel,
                                          const ProbeRequest& request);

/// The child's side: loads the kernel, checks and measures it, and writes what it found to standard output.
/// Returns the exit code: 0 when the measurement was made, whatever it says.
int probe_main(int argc, char** argv);

}  // namespace lockstep::compute
