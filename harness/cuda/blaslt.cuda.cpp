#include "harness/cuda/blaslt.hpp"

#include <bit>
#include <utility>

#include "harness/cuda/cublaslt_library.hpp"
#include "harness/cuda/device.hpp"

namespace lockstep::cuda {

using detail::check;

namespace {

static_assert(sizeof(MatmulAlgorithm::words) == sizeof(cublasLtMatmulAlgo_t));

const detail::BlasLtFunctions& functions() {
  return detail::blaslt_library().functions;
}

cudaDataType_t type_of(Element element) {
  switch (element) {
    case Element::f32:
      return CUDA_R_32F;
    case Element::bf16:
      return CUDA_R_16BF;
    case Element::f16:
      return CUDA_R_16F;
    case Element::e4m3:
      return CUDA_R_8F_E4M3;
    case Element::e5m2:
      return CUDA_R_8F_E5M2;
  }
  return CUDA_R_32F;
}

cublasLtEpilogue_t epilogue_of(Epilogue epilogue) {
  switch (epilogue) {
    case Epilogue::none:
      return CUBLASLT_EPILOGUE_DEFAULT;
    case Epilogue::bias:
      return CUBLASLT_EPILOGUE_BIAS;
    case Epilogue::gelu:
      return CUBLASLT_EPILOGUE_GELU;
    case Epilogue::gelu_bias:
      return CUBLASLT_EPILOGUE_GELU_BIAS;
    case Epilogue::gelu_aux_bias:
      return CUBLASLT_EPILOGUE_GELU_AUX_BIAS;
    case Epilogue::dgelu:
      return CUBLASLT_EPILOGUE_DGELU;
    case Epilogue::dgelu_bgrad:
      return CUBLASLT_EPILOGUE_DGELU_BGRAD;
    case Epilogue::bgrad:
      return CUBLASLT_EPILOGUE_BGRADA;  // of the library's first matrix, which is our B
  }
  return CUBLASLT_EPILOGUE_DEFAULT;
}

/// Owns one of the library's descriptors.
template <class Handle, cublasStatus_t (*detail::BlasLtFunctions::*destroy)(Handle)>
class Owned {
 public:
  Owned() = default;
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;
  ~Owned() {
    if (handle != nullptr)
      static_cast<void>((functions().*destroy)(handle));
  }
  Handle handle = nullptr;
};

using Desc = Owned<cublasLtMatmulDesc_t, &detail::BlasLtFunctions::desc_destroy>;
using LayoutDesc = Owned<cublasLtMatrixLayout_t, &detail::BlasLtFunctions::layout_destroy>;
using Preference = Owned<cublasLtMatmulPreference_t, &detail::BlasLtFunctions::preference_destroy>;

template <class Value>
void set(cublasLtMatmulDesc_t desc, cublasLtMatmulDescAttributes_t attribute, const Value& value) {
  check(functions().desc_set(desc, attribute, &value, sizeof value), "cublasLtMatmulDescSetAttribute");
}

template <class Value>
void set(cublasLtMatrixLayout_t layout, cublasLtMatrixLayoutAttribute_t attribute, const Value& value) {
  check(functions().layout_set(layout, attribute, &value, sizeof value), "cublasLtMatrixLayoutSetAttribute");
}

template <class Value>
void set(cublasLtMatmulPreference_t preference, cublasLtMatmulPreferenceAttributes_t attribute,
         const Value& value) {
  check(functions().preference_set(preference, attribute, &value, sizeof value),
        "cublasLtMatmulPreferenceSetAttribute");
}

void make_layout(LayoutDesc& layout, const ColumnMajorMatrix& matrix, Element element, std::uint64_t batch) {
  check(functions().layout_create(&layout.handle, type_of(element), matrix.rows, matrix.columns,
                                  matrix.leading),
        "cublasLtMatrixLayoutCreate");
  if (batch == 1)
    return;
  set(layout.handle, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, static_cast<std::int32_t>(batch));
  set(layout.handle, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, matrix.stride);
}

}  // namespace

struct Matmul::Descriptors {
  cublasLtHandle_t library = nullptr;
  Desc product;
  LayoutDesc first;
  LayoutDesc second;
  LayoutDesc result;
  MatmulOperands set_to;  ///< the pointers that the product's descriptor holds
};

Matmul::Matmul(const BlasLt& library, const MatmulProblem& problem)
    : problem_(problem), descriptors_(std::make_unique<Descriptors>()) {
  if (const std::string reason = why_impossible(problem); !reason.empty())
    throw CudaError("describing product " + name_of(problem), CUBLAS_STATUS_NOT_SUPPORTED, "not supported",
                    reason);
  Descriptors& d = *descriptors_;
  d.library = static_cast<cublasLtHandle_t>(library.handle_);
  const ColumnMajorProduct product = column_major(problem);
  check(functions().desc_create(&d.product.handle,
                                problem.tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F, CUDA_R_32F),
        "cublasLtMatmulDescCreate");
  const auto operation = [](const ColumnMajorMatrix& matrix) {
    return static_cast<std::int32_t>(matrix.transposed ? CUBLAS_OP_T : CUBLAS_OP_N);
  };
  set(d.product.handle, CUBLASLT_MATMUL_DESC_TRANSA, operation(product.first));
  set(d.product.handle, CUBLASLT_MATMUL_DESC_TRANSB, operation(product.second));
  set(d.product.handle, CUBLASLT_MATMUL_DESC_EPILOGUE,
      static_cast<std::uint32_t>(epilogue_of(problem.epilogue)));
  if (is_fp8(problem.a))
    set(d.product.handle, CUBLASLT_MATMUL_DESC_FAST_ACCUM,
        static_cast<std::int8_t>(problem.fast_accumulation ? 1 : 0));
  if (has_vector(problem.epilogue))
    set(d.product.handle, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, static_cast<std::int32_t>(type_of(problem.c)));
  if (has_extra_matrix(problem.epilogue)) {
    set(d.product.handle, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, product.result.leading);
    if (problem.batch > 1)
      set(d.product.handle, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_BATCH_STRIDE, product.result.stride);
  }
  make_layout(d.first, product.first, problem.b, problem.batch);
  make_layout(d.second, product.second, problem.a, problem.batch);
  make_layout(d.result, product.result, problem.c, problem.batch);
}

Matmul::Matmul(Matmul&& other) noexcept = default;
Matmul& Matmul::operator=(Matmul&& other) noexcept = default;
Matmul::~Matmul() = default;

std::vector<MatmulAlgorithm> Matmul::candidates(int most, std::uint64_t workspace_bytes) const {
  const Descriptors& d = *descriptors_;
  Preference preference;
  check(functions().preference_create(&preference.handle), "cublasLtMatmulPreferenceCreate");
  set(preference.handle, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, workspace_bytes);
  for (const auto attribute :
       {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES})
    set(preference.handle, attribute, problem_.alignment);
  std::vector<cublasLtMatmulHeuristicResult_t> results(static_cast<std::size_t>(most));
  int found = 0;
  const cublasStatus_t status =
      functions().heuristic(d.library, d.product.handle, d.first.handle, d.second.handle, d.result.handle,
                            d.result.handle, preference.handle, most, results.data(), &found);
  if (status == CUBLAS_STATUS_NOT_SUPPORTED)
    return {};
  check(status, "cublasLtMatmulAlgoGetHeuristic");
  std::vector<MatmulAlgorithm> algorithms;
  for (int i = 0; i < found; ++i) {
    const cublasLtMatmulHeuristicResult_t& result = results[static_cast<std::size_t>(i)];
    if (result.state == CUBLAS_STATUS_SUCCESS)
      algorithms.push_back({std::bit_cast<std::array<std::uint64_t, 8>>(result.algo), result.workspaceSize});
  }
  return algorithms;
}

bool Matmul::accepts(MatmulAlgorithm& algorithm, std::uint64_t workspace_bytes) const {
  const Descriptors& d = *descriptors_;
  const auto algo = std::bit_cast<cublasLtMatmulAlgo_t>(algorithm.words);
  cublasLtMatmulHeuristicResult_t result{};
  const cublasStatus_t status =
      functions().algo_check(d.library, d.product.handle, d.first.handle, d.second.handle, d.result.handle,
                             d.result.handle, &algo, &result);
  if (status != CUBLAS_STATUS_SUCCESS || result.workspaceSize > workspace_bytes)
    return false;
  algorithm.workspace_bytes = result.workspaceSize;
  return true;
}

void Matmul::run(const MatmulAlgorithm& algorithm, const MatmulOperands& operands, DeviceView workspace,
                 const Stream& stream) {
  Descriptors& d = *descriptors_;
  const auto point = [&](auto MatmulOperands::*member, cublasLtMatmulDescAttributes_t attribute) {
    if (operands.*member == d.set_to.*member)
      return;
    set(d.product.handle, attribute, operands.*member);
    d.set_to.*member = operands.*member;
  };
  point(&MatmulOperands::vector, CUBLASLT_MATMUL_DESC_BIAS_POINTER);
  point(&MatmulOperands::extra_matrix, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER);
  point(&MatmulOperands::b_scale,
        CUBLASLT_MATMUL_DESC_A_SCALE_POINTER);  // the library's first matrix is our B
  point(&MatmulOperands::a_scale, CUBLASLT_MATMUL_DESC_B_SCALE_POINTER);
  const float alpha = 1.0F;
  const float beta = problem_.accumulate ? 1.0F : 0.0F;
  const auto algo = std::bit_cast<cublasLtMatmulAlgo_t>(algorithm.words);
  check(
      functions().matmul(d.library, d.product.handle, &alpha, operands.b, d.first.handle, operands.a,
                         d.second.handle, &beta, operands.c, d.result.handle, operands.c, d.result.handle,
                         &algo, workspace.data, workspace.bytes, static_cast<cudaStream_t>(stream.handle())),
      "cublasLtMatmul");
}

BlasLt::BlasLt() {
  const detail::BlasLtLibrary& library = detail::blaslt_library();
  if (!library.loaded())
    throw CudaError("loading cuBLASLt", -1, "not loaded", library.trouble);
  cublasLtHandle_t handle = nullptr;
  check(library.functions.create(&handle), "cublasLtCreate");
  handle_ = handle;
}

BlasLt::~BlasLt() {
  if (handle_ != nullptr)
    static_cast<void>(functions().destroy(static_cast<cublasLtHandle_t>(handle_)));
}

}  // namespace lockstep::cuda
