#include <cstdlib>
#include <vector>

#include <dlfcn.h>

#include "harness/cuda/blaslt.hpp"
#include "harness/cuda/cublaslt_library.hpp"
#include "harness/cuda/device.hpp"

namespace lockstep::cuda {
namespace detail {
namespace {

std::vector<std::string> places() {
  if (const char* named = std::getenv("LOCKSTEP_CUBLASLT"); named != nullptr && *named != '\0')
    return {named};
  const std::string name = "libcublasLt.so." + std::to_string(CUBLAS_VER_MAJOR);
  std::vector<std::string> found = {name, std::string(LOCKSTEP_CUDA_LIBRARY_FOLDER) + "/" + name};
  if (const char* home = std::getenv("CUDA_HOME"); home != nullptr && *home == '/')
    found.push_back(std::string(home) + "/lib64/" + name);
  found.push_back("/usr/local/cuda/lib64/" + name);
  return found;
}

template <class Function>
void find(void* library, const char* name, Function& function, std::string& trouble) {
  function = reinterpret_cast<Function>(::dlsym(library, name));
  if (function == nullptr && trouble.empty())
    trouble = std::string("it has no ") + name;
}

BlasLtLibrary load() {
  BlasLtLibrary library;
  void* handle = nullptr;
  for (const std::string& place : places()) {
    handle = ::dlopen(place.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle != nullptr)
      break;
    if (library.trouble.empty())
      library.trouble = ::dlerror();
  }
  if (handle == nullptr)
    return library;
  library.trouble.clear();
  BlasLtFunctions& f = library.functions;
  std::string& trouble = library.trouble;
  find(handle, "cublasLtGetVersion", f.get_version, trouble);
  find(handle, "cublasLtGetStatusName", f.status_name, trouble);
  find(handle, "cublasLtGetStatusString", f.status_text, trouble);
  find(handle, "cublasLtCreate", f.create, trouble);
  find(handle, "cublasLtDestroy", f.destroy, trouble);
  find(handle, "cublasLtMatmulDescCreate", f.desc_create, trouble);
  find(handle, "cublasLtMatmulDescDestroy", f.desc_destroy, trouble);
  find(handle, "cublasLtMatmulDescSetAttribute", f.desc_set, trouble);
  find(handle, "cublasLtMatrixLayoutCreate", f.layout_create, trouble);
  find(handle, "cublasLtMatrixLayoutDestroy", f.layout_destroy, trouble);
  find(handle, "cublasLtMatrixLayoutSetAttribute", f.layout_set, trouble);
  find(handle, "cublasLtMatmulPreferenceCreate", f.preference_create, trouble);
  find(handle, "cublasLtMatmulPreferenceDestroy", f.preference_destroy, trouble);
  find(handle, "cublasLtMatmulPreferenceSetAttribute", f.preference_set, trouble);
  find(handle, "cublasLtMatmulAlgoGetHeuristic", f.heuristic, trouble);
  find(handle, "cublasLtMatmulAlgoCheck", f.algo_check, trouble);
  find(handle, "cublasLtMatmul", f.matmul, trouble);
  Dl_info info{};
  if (trouble.empty() && ::dladdr(reinterpret_cast<void*>(f.matmul), &info) != 0)
    library.path = info.dli_fname;
  const std::size_t version = trouble.empty() ? f.get_version() : 0;
  // major * 10000 + minor * 100 + patch
  if (trouble.empty() && version / 10000 != CUBLAS_VER_MAJOR)
    trouble = "it is version " + std::to_string(version / 10000) + ", and this was compiled for " +
              std::to_string(CUBLAS_VER_MAJOR);
  return library;
}

}  // namespace

const BlasLtLibrary& blaslt_library() {
  static const BlasLtLibrary library = load();
  return library;
}

void check(cublasStatus_t status, const char* call) {
  if (status == CUBLAS_STATUS_SUCCESS)
    return;
  const BlasLtFunctions& f = blaslt_library().functions;
  throw CudaError(call, status, f.status_name(status), f.status_text(status));
}

}  // namespace detail

std::string cublaslt_version() {
  const detail::BlasLtLibrary& library = detail::blaslt_library();
  if (!library.loaded())
    return {};
  const std::size_t version = library.functions.get_version();
  return std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100) + "." +
         std::to_string(version % 100);
}

std::string cublaslt_path() {
  return detail::blaslt_library().path;
}

}  // namespace lockstep::cuda
