#include "harness/compute/kernel_catalog.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "harness/core/error.hpp"
#include "harness/core/text.hpp"

namespace lockstep::compute {
namespace {

namespace fs = std::filesystem;

struct Soname {
  BlasFamily family;
  const char* name;
};
// Newest first within a family. The 64-bit-integer builds have other names and another interface.
constexpr std::array kSonames{
    Soname{BlasFamily::openblas, "libopenblas.so.0"}, Soname{BlasFamily::onednn, "libdnnl.so.3"},
    Soname{BlasFamily::onednn, "libdnnl.so.2"},       Soname{BlasFamily::blis, "libblis.so.4"},
    Soname{BlasFamily::blis, "libblis.so.3"},
};

constexpr std::array kFlavours{"openblas-serial", "openblas-pthread", "openblas-openmp",
                               "blis-serial",     "blis-openmp",      "blis-pthread"};

/// A kernel of OpenBLAS, the CPU flags that it needs, and a CPU flag that makes a better one possible.
struct OpenblasCore {
  const char* name;
  std::vector<const char*> needs;
  const char* outdone_by;  // nullptr: may be the fastest
};

const std::vector<OpenblasCore>& openblas_cores() {
  static const std::vector<OpenblasCore> kCores {
#if defined(__x86_64__)
    {"SkylakeX", {"avx512f", "avx512dq", "avx512bw", "avx512vl", "fma", "avx2"}, nullptr},
        // Its single-precision kernels are those of SkylakeX; only bfloat16 differs.
        {"Cooperlake",
         {"avx512f", "avx512dq", "avx512bw", "avx512vl", "avx512_bf16", "fma", "avx2"},
         "avx512f"},
        {"Haswell", {"avx2", "fma"}, nullptr}, {"Zen", {"avx2", "fma"}, nullptr},
        {"Sandybridge", {"avx"}, "avx2"}, {"Nehalem", {"sse4_2"}, "avx"}, {"Prescott", {"pni"}, "sse4_2"},
#elif defined(__aarch64__)
    {"NeoverseV1", {"sve", "asimd"}, nullptr}, {"NeoverseN1", {"asimd", "asimddp"}, nullptr},
        {"ARMV8", {"asimd"}, nullptr},
#endif
  };
  return kCores;
}

std::vector<EnvironmentSetting> one_thread() {
  return {{"OMP_NUM_THREADS", "1"}, {"OPENBLAS_NUM_THREADS", "1"}, {"BLIS_NUM_THREADS", "1"}};
}

GemmKernel make_kernel(std::string name, const BlasLibrary& library,
                       std::vector<EnvironmentSetting> extra = {}) {
  GemmKernel kernel;
  kernel.name = std::move(name);
  kernel.family = library.family;
  kernel.library_path = library.path;
  kernel.environment = one_thread();
  kernel.environment.insert(kernel.environment.end(), extra.begin(), extra.end());
  return kernel;
}

void add_openblas(const CpuFeatures& features, const BlasLibrary& library,
                  std::vector<CatalogEntry>& entries) {
  using Probing = CatalogEntry::Probing;
  entries.push_back({make_kernel("openblas", library), Probing::always});
  for (const OpenblasCore& core : openblas_cores()) {
    const bool able = std::all_of(core.needs.begin(), core.needs.end(),
                                  [&features](const char* flag) { return features.has(flag); });
    if (!able)
      continue;
    const bool outdone = core.outdone_by != nullptr && features.has(core.outdone_by);
    entries.push_back(
        {make_kernel(std::string("openblas:") + core.name, library, {{"OPENBLAS_CORETYPE", core.name}}),
         outdone ? Probing::on_request : Probing::always});
  }
}

void add_folder(std::vector<std::string>& folders, const std::string& folder) {
  if (folder.empty())
    return;
  const auto add = [&folders](const fs::path& path) {
    if (std::find(folders.begin(), folders.end(), path.string()) == folders.end())
      folders.push_back(path.string());
  };
  for (const char* flavour : kFlavours)
    add(fs::path(folder) / flavour);
  add(fs::path(folder));
}

void add_linker_folders(std::vector<std::string>& folders) {
  std::error_code error;
  std::vector<fs::path> files{"/etc/ld.so.conf"};
  for (const auto& entry : fs::directory_iterator("/etc/ld.so.conf.d", error))
    files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  for (const fs::path& path : files) {
    std::ifstream file(path);
    for (std::string line; std::getline(file, line);) {
      const std::string_view folder = trim(line);
      if (folder.starts_with('/'))
        add_folder(folders, std::string(folder));
    }
  }
}

}  // namespace

const char* to_string(BlasFamily family) {
  switch (family) {
    case BlasFamily::openblas:
      return "openblas";
    case BlasFamily::onednn:
      return "onednn";
    case BlasFamily::blis:
      return "blis";
  }
  return "?";
}

std::vector<std::string> library_folders() {
  std::vector<std::string> folders;
  if (const char* path = std::getenv("LD_LIBRARY_PATH"); path != nullptr) {
    for (const std::string& folder : split(path, ':'))
      add_folder(folders, folder);
  }
  add_linker_folders(folders);
  for (const char* folder : {
#if defined(__x86_64__)
         "/usr/lib/x86_64-linux-gnu",
#elif defined(__aarch64__)
           "/usr/lib/aarch64-linux-gnu",
#endif
             "/usr/local/lib", "/usr/local/lib64", "/usr/lib64", "/usr/lib", "/lib64"
       })
    add_folder(folders, folder);
  return folders;
}

std::vector<BlasLibrary> find_blas_libraries(const std::vector<std::string>& folders) {
  std::vector<BlasLibrary> found;
  for (const Soname& soname : kSonames) {
    const bool known = std::any_of(found.begin(), found.end(),
                                   [&](const BlasLibrary& have) { return have.family == soname.family; });
    if (known)
      continue;
    for (const std::string& folder : folders) {
      std::error_code error;
      const fs::path path = fs::canonical(fs::path(folder) / soname.name, error);
      if (error || !fs::is_regular_file(path, error))
        continue;
      found.push_back({soname.family, path.string()});
      break;
    }
  }
  return found;
}

std::vector<CatalogEntry> list_kernels(const CpuFeatures& features,
                                       const std::vector<BlasLibrary>& libraries) {
  std::vector<CatalogEntry> entries;
  for (const BlasLibrary& library : libraries) {
    switch (library.family) {
      case BlasFamily::openblas:
        add_openblas(features, library, entries);
        break;
      case BlasFamily::onednn:
        // A cap, not a demand: left free, it generates AMX code where AMX is announced, usable or not.
        entries.push_back({make_kernel("onednn", library, {{"DNNL_MAX_CPU_ISA", "AVX512_CORE"}}),
                           CatalogEntry::Probing::always});
        break;
      case BlasFamily::blis:
        entries.push_back({make_kernel("blis", library), CatalogEntry::Probing::always});
        break;
    }
  }
  return entries;
}

const CatalogEntry& best_by_features(const std::vector<CatalogEntry>& entries) {
  LOCKSTEP_EXPECT(!entries.empty(), "no kernel to choose from");
  // The cores of OpenBLAS are listed from the widest vectors down; oneDNN picks by the CPU's features itself.
  for (const CatalogEntry& entry : entries) {
    if (entry.probing == CatalogEntry::Probing::always && !asked_core(entry.kernel).empty())
      return entry;
  }
  for (const CatalogEntry& entry : entries) {
    if (entry.kernel.family == BlasFamily::onednn)
      return entry;
  }
  return entries.front();
}

bool same_core(std::string_view asked, std::string_view reported) {
  return std::equal(asked.begin(), asked.end(), reported.begin(), reported.end(),
                    [](unsigned char a, unsigned char b) { return std::tolower(a) == std::tolower(b); });
}

std::string_view asked_core(const GemmKernel& kernel) {
  const std::string_view name = kernel.name;
  const std::size_t colon = name.find(':');
  return colon == std::string_view::npos ? std::string_view{} : name.substr(colon + 1);
}

}  // namespace lockstep::compute
