#include "harness/cuda/nccl_api.hpp"

namespace lockstep::cuda {

const NcclLibrary& nccl_library() {
  static const NcclLibrary none{nullptr, "this build of Lockstep has no NCCL", {}};
  return none;
}

}  // namespace lockstep::cuda
