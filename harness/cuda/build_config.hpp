#pragma once

/// What this build was made with, as constants: code asks them in plain `if`s, and the compiler sees both
/// branches. The definitions come from the build system, 0 or 1 each.
namespace lockstep::cuda {

inline constexpr bool kHasCuda = LOCKSTEP_HAS_CUDA == 1;
inline constexpr bool kHasCublasLt = LOCKSTEP_HAS_CUBLASLT == 1;
inline constexpr bool kHasNccl = LOCKSTEP_HAS_NCCL == 1;

}  // namespace lockstep::cuda
