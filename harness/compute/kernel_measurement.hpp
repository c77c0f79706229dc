#pragma once

#include <cstdint>
#include <string>

#include "harness/compute/kernel_catalog.hpp"

namespace lockstep::compute {

/// What became of a candidate.
enum class KernelStatus {
  measured,      ///< correct, with a rate
  wrong_result,  ///< it ran, and what it computed is wrong
  crashed,       ///< a signal ended it; an illegal instruction where the CPU announces what it cannot do
  timed_out,     ///< killed at its deadline
  failed,        ///< it could not be loaded, or runs another kernel than was asked for
  skipped,       ///< not tried; `detail` says why
};
[[nodiscard]] const char* to_string(KernelStatus status);

/// One row of the comparison that the choice rests on.
struct KernelMeasurement {
  GemmKernel kernel;  ///< with core_name, where the library told it
  KernelStatus status = KernelStatus::skipped;
  std::uint64_t extent = 0;  ///< m = n = k of the measured product
  double gflops = 0.0;       ///< one thread, GFLOP/s (1e9); 0 unless measured
  std::string detail;        ///< one line; may be empty
};

}  // namespace lockstep::compute
