#include "harness/compute/sgemm_library.hpp"

#include <cstdlib>

#include <dlfcn.h>

#include "harness/core/error.hpp"

namespace lockstep::compute {
namespace {

// From the C interface to BLAS, which every library of the kind implements.
constexpr int kCblasRowMajor = 101;
constexpr int kCblasNoTrans = 111;
constexpr int kCblasTrans = 112;

[[noreturn]] void refuse(const GemmKernel& kernel, std::string why) {
  throw RunError({.what = "cannot use GEMM kernel " + kernel.name + " of " + kernel.library_path,
                  .why = std::move(why),
                  .suggestion = "set compute.kernel = \"auto\", or install libopenblas0-serial",
                  .file = {}});
}

template <class Function>
Function as_function(void* symbol) {
  return reinterpret_cast<Function>(symbol);
}

}  // namespace

void SgemmLibrary::Close::operator()(void* handle) const noexcept {
  ::dlclose(handle);
}

void* SgemmLibrary::find(const char* symbol) const {
  return ::dlsym(handle_.get(), symbol);
}

SgemmLibrary SgemmLibrary::load(const GemmKernel& kernel) {
  // A core type from the caller's shell would overrule the choice that the report names.
  ::unsetenv("OPENBLAS_CORETYPE");
  for (const EnvironmentSetting& setting : kernel.environment)
    ::setenv(setting.name.c_str(), setting.value.c_str(), 1);

  SgemmLibrary library;
  library.kernel_ = kernel;
  library.handle_.reset(::dlopen(kernel.library_path.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE));
  if (!library.handle_) {
    const char* error = ::dlerror();
    refuse(kernel, error != nullptr ? error : "dlopen failed");
  }
  if (kernel.family == BlasFamily::onednn)
    library.dnnl_ = as_function<DnnlSgemm>(library.find("dnnl_sgemm"));
  else
    library.cblas_ = as_function<CblasSgemm>(library.find("cblas_sgemm"));
  if (library.dnnl_ == nullptr && library.cblas_ == nullptr)
    refuse(kernel, "it has no single-precision GEMM");

  if (const auto core_name = as_function<const char* (*)()>(library.find("openblas_get_corename")))
    library.kernel_.core_name = core_name();
  const auto arch_id = as_function<int (*)()>(library.find("bli_arch_query_id"));
  const auto arch_name = as_function<const char* (*)(int)>(library.find("bli_arch_string"));
  if (arch_id != nullptr && arch_name != nullptr)
    library.kernel_.core_name = arch_name(arch_id());

  // An OpenMP runtime that was in the process already has read its environment before it was set above.
  library.set_openmp_threads_ = as_function<void (*)(int)>(library.find("omp_set_num_threads"));
  if (const auto set_threads = as_function<void (*)(int)>(library.find("openblas_set_num_threads")))
    set_threads(1);

  const std::string_view asked = asked_core(kernel);
  if (!asked.empty() && !same_core(asked, library.kernel_.core_name))
    refuse(kernel, "the library runs its kernel \"" + library.kernel_.core_name + "\" instead");
  return library;
}

void SgemmLibrary::multiply(const GemmShape& shape, const float* a, const float* b, GemmTarget target,
                            float* c) const {
  const bool a_transposed = shape.layout == step::Gemm::Layout::tn;
  const bool b_transposed = shape.layout == step::Gemm::Layout::nt;
  const auto m = static_cast<int>(shape.m);
  const auto n = static_cast<int>(shape.n);
  const auto k = static_cast<int>(shape.k);
  const int lda = a_transposed ? m : k;
  const int ldb = b_transposed ? k : n;
  const float beta = target == GemmTarget::accumulate ? 1.0F : 0.0F;
  if (set_openmp_threads_ != nullptr)
    set_openmp_threads_(1);
  if (dnnl_ != nullptr) {
    const int status =
        dnnl_(a_transposed ? 'T' : 'N', b_transposed ? 'T' : 'N', m, n, k, 1.0F, a, lda, b, ldb, beta, c, n);
    LOCKSTEP_EXPECT(status == 0, "oneDNN refused a product");
  } else {
    cblas_(kCblasRowMajor, a_transposed ? kCblasTrans : kCblasNoTrans,
           b_transposed ? kCblasTrans : kCblasNoTrans, m, n, k, 1.0F, a, lda, b, ldb, beta, c, n);
  }
}

}  // namespace lockstep::compute
