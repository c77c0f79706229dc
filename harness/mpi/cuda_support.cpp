#include "harness/mpi/cuda_support.hpp"

#include <mpi.h>
#if __has_include(<mpi-ext.h>)
#include <mpi-ext.h>  // Open MPI's; must come behind mpi.h
#endif

namespace lockstep::mpi {

const char* to_string(CudaSupport support) {
  switch (support) {
    case CudaSupport::yes:
      return "yes";
    case CudaSupport::no:
      return "no";
    case CudaSupport::unknown:
      return "unknown";
  }
  return "?";
}

CudaSupport cuda_support() {
#ifdef MPIX_CUDA_AWARE_SUPPORT
  return ::MPIX_Query_cuda_support() != 0 ? CudaSupport::yes : CudaSupport::no;
#else
  return CudaSupport::unknown;
#endif
}

bool nonblocking_collectives_take_device_memory() {
#ifdef OPEN_MPI
  return false;
#else
  return true;
#endif
}

}  // namespace lockstep::mpi
