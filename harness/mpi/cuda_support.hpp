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

}  // namespace lockstep::mpi
