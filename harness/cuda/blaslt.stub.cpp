#include "harness/cuda/blaslt.hpp"

#include "harness/cuda/refuse.hpp"

// No object of these classes is ever made here: the constructors refuse.
namespace lockstep::cuda {

struct Matmul::Descriptors {};

Matmul::Matmul(const BlasLt& /*library*/, const MatmulProblem& problem) : problem_(problem) {
  detail::refuse("describing a product");
}
Matmul::Matmul(Matmul&& other) noexcept = default;
Matmul& Matmul::operator=(Matmul&& other) noexcept = default;
Matmul::~Matmul() = default;

std::vector<MatmulAlgorithm> Matmul::candidates(int /*most*/, std::uint64_t /*workspace_bytes*/) const {
  return {};
}
bool Matmul::accepts(MatmulAlgorithm& /*algorithm*/, std::uint64_t /*workspace_bytes*/) const {
  return false;
}
void Matmul::run(const MatmulAlgorithm& /*algorithm*/, const MatmulOperands& /*operands*/,
                 DeviceView /*workspace*/, const Stream& /*stream*/) {}

BlasLt::BlasLt() {
  detail::refuse("loading cuBLASLt");
}
BlasLt::~BlasLt() {}

std::string cublaslt_path() {
  return {};
}

}  // namespace lockstep::cuda
