#pragma once

#include <string>

#include <cublasLt.h>

/// Of the files of this room that see cuBLASLt: its functions, found at run time.
namespace lockstep::cuda::detail {

struct BlasLtFunctions {
  decltype(&::cublasLtGetVersion) get_version = nullptr;
  decltype(&::cublasLtGetStatusName) status_name = nullptr;
  decltype(&::cublasLtGetStatusString) status_text = nullptr;
  decltype(&::cublasLtCreate) create = nullptr;
  decltype(&::cublasLtDestroy) destroy = nullptr;
  decltype(&::cublasLtMatmulDescCreate) desc_create = nullptr;
  decltype(&::cublasLtMatmulDescDestroy) desc_destroy = nullptr;
  decltype(&::cublasLtMatmulDescSetAttribute) desc_set = nullptr;
  decltype(&::cublasLtMatrixLayoutCreate) layout_create = nullptr;
  decltype(&::cublasLtMatrixLayoutDestroy) layout_destroy = nullptr;
  decltype(&::cublasLtMatrixLayoutSetAttribute) layout_set = nullptr;
  decltype(&::cublasLtMatmulPreferenceCreate) preference_create = nullptr;
  decltype(&::cublasLtMatmulPreferenceDestroy) preference_destroy = nullptr;
  decltype(&::cublasLtMatmulPreferenceSetAttribute) preference_set = nullptr;
  decltype(&::cublasLtMatmulAlgoGetHeuristic) heuristic = nullptr;
  decltype(&::cublasLtMatmulAlgoCheck) algo_check = nullptr;
  decltype(&::cublasLtMatmul) matmul = nullptr;
};

struct BlasLtLibrary {
  BlasLtFunctions functions;
  std::string path;     ///< of the file
  std::string trouble;  ///< one line: why it is not loaded; empty when it is
  [[nodiscard]] bool loaded() const { return trouble.empty(); }
};

/// Loads it at the first call, from $LOCKSTEP_CUBLASLT if set, else by its name as the linker finds it, else
/// from where CUDA was when this was built, $CUDA_HOME or /usr/local/cuda. It stays loaded.
[[nodiscard]] const BlasLtLibrary& blaslt_library();

/// Throws CudaError unless `status` is success.
void check(cublasStatus_t status, const char* call);

}  // namespace lockstep::cuda::detail
