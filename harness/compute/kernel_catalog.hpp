#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "harness/compute/cpu_features.hpp"

/// Which GEMM kernels this machine could run: libraries found on disk, crossed with what the CPU can do.
namespace lockstep::compute {

enum class BlasFamily { openblas, onednn, blis };
[[nodiscard]] const char* to_string(BlasFamily family);

/// A shared library that offers single-precision GEMM.
struct BlasLibrary {
  BlasFamily family = BlasFamily::openblas;
  std::string path;  ///< with symbolic links resolved
};

struct EnvironmentSetting {
  std::string name;
  std::string value;
};

/// One way to multiply matrices: a library, and the environment that it must find when it is loaded.
struct GemmKernel {
  std::string name;  ///< "openblas", "openblas:SkylakeX", "onednn", "blis"
  BlasFamily family = BlasFamily::openblas;
  std::string library_path;
  std::vector<EnvironmentSetting> environment;
  std::string core_name;  ///< what the library itself says it runs, once it was asked; else empty
};

/// A kernel on the list, and whether it can be the fastest: the others are there to be asked for by name.
struct CatalogEntry {
  enum class Probing { always, on_request };
  GemmKernel kernel;
  Probing probing = Probing::always;
};

/// Folders that are looked into, in order: those of LD_LIBRARY_PATH, those of the dynamic linker's
/// configuration, the usual ones of the system, each with the subfolders in which Debian keeps the flavours
/// of one library (single-threaded first, since each rank computes on one thread).
[[nodiscard]] std::vector<std::string> library_folders();

/// The first library of each family in `folders`.
[[nodiscard]] std::vector<BlasLibrary> find_blas_libraries(const std::vector<std::string>& folders);

/// Every kernel of `libraries` that a CPU with `features` can run. OpenBLAS appears once as it chooses by
/// itself, which on a CPU newer than the library is its slowest kernel, and once for each kernel that the
/// CPU's features allow.
[[nodiscard]] std::vector<CatalogEntry> list_kernels(const CpuFeatures& features,
                                                     const std::vector<BlasLibrary>& libraries);

/// The kernel to expect most of when nothing could be measured: the widest vectors that the features allow.
/// `entries` must not be empty.
[[nodiscard]] const CatalogEntry& best_by_features(const std::vector<CatalogEntry>& entries);

/// Whether a library's own word for its kernel means the one that was asked for (letter case apart).
[[nodiscard]] bool same_core(std::string_view asked, std::string_view reported);

/// "SkylakeX" of "openblas:SkylakeX"; empty when the kernel leaves the choice to the library.
[[nodiscard]] std::string_view asked_core(const GemmKernel& kernel);

}  // namespace lockstep::compute
