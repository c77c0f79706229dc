#pragma once

namespace lockstep::mpi {

/// Whether the MPI library takes device memory where it takes host memory.
enum class CudaSupport {
  yes,
  no,
  unknown,  ///< the library has no function that tells
};
[[nodiscard]] const char* to_string(CudaSupport support);

/// As the library that is loaded says it (MPIX_Query_cuda_support of Open MPI).
[[nodiscard]] CudaSupport cuda_support();

/// Whether an MPI that takes device memory takes it in nonblocking collectives too. Open MPI does so in
/// sends, receives and blocking collectives alone (https://www.open-mpi.org/faq/?category=runcuda).
[[nodiscard]] bool nonblocking_collectives_take_device_memory();

}  // namespace lockstep::mpi
