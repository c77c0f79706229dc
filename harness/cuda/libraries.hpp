#pragma once

#include <string>

namespace lockstep::cuda {

/// Versions as "major.minor" or "major.minor.patch"; empty when the build lacks the library, or the machine
/// the driver.
struct LibraryVersions {
  std::string runtime;  ///< CUDA runtime, part of this program
  std::string driver;   ///< newest CUDA that the installed driver supports
  std::string cublaslt;
  std::string nccl;
};

/// Of the library that is loaded, which need not be the one compiled against. Empty in a build without it.
[[nodiscard]] std::string cublaslt_version();
[[nodiscard]] std::string nccl_version();

}  // namespace lockstep::cuda
