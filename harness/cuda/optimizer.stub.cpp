#include "harness/cuda/optimizer.hpp"

#include "harness/cuda/refuse.hpp"

namespace lockstep::cuda {

AdamKernel::AdamKernel() {
  detail::refuse("compiling the optimizer");
}
AdamKernel::~AdamKernel() {}  // never reached: no object was made

void AdamKernel::run(const AdamArrays& /*arrays*/, const AdamCoefficients& /*coefficients*/,
                     const Stream& /*stream*/) const {}

}  // namespace lockstep::cuda
