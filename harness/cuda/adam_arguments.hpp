#pragma once

#include "harness/core/error.hpp"
#include "harness/cuda/optimizer.hpp"

/// What the kernel in adam_kernel.cu is given: the same structure as there.
namespace lockstep::cuda::detail {

struct AdamArguments {
  unsigned long long elements = 0;
  const float* gradients = nullptr;
  float* parameters = nullptr;
  float* first_moments = nullptr;
  float* second_moments = nullptr;
  void* copy = nullptr;
  int copy_bytes = 0;
  int fraction_bits = 0;
  int exponent_bias = 0;
  unsigned largest = 0;
  float rate = 0.0F;
  float first_decay = 0.0F;
  float second_decay = 0.0F;
  float epsilon = 0.0F;
  float weight_decay = 0.0F;
};

/// Formats as in the documents that define them: bf16 and binary16 (IEEE 754), e4m3 without infinities up to
/// 448 and e5m2 up to 57344 (Micikevicius et al., 2022).
[[nodiscard]] inline AdamArguments adam_arguments(const AdamArrays& arrays, const AdamCoefficients& c) {
  AdamArguments made;
  made.elements = arrays.elements;
  made.gradients = arrays.gradients;
  made.parameters = arrays.parameters;
  made.first_moments = arrays.first_moments;
  made.second_moments = arrays.second_moments;
  made.rate = c.rate;
  made.first_decay = c.first_decay;
  made.second_decay = c.second_decay;
  made.epsilon = c.epsilon;
  made.weight_decay = c.weight_decay;
  if (!arrays.copy_type)
    return made;
  made.copy = arrays.copy;
  made.copy_bytes = static_cast<int>(bytes_of(*arrays.copy_type));
  const auto format = [&made](int fraction_bits, int exponent_bias, unsigned largest) {
    made.fraction_bits = fraction_bits;
    made.exponent_bias = exponent_bias;
    made.largest = largest;
  };
  switch (*arrays.copy_type) {
    case Element::bf16:
      format(7, 127, 0x7f7f);
      break;
    case Element::f16:
      format(10, 15, 0x7bff);
      break;
    case Element::e4m3:
      format(3, 7, 0x7e);
      break;
    case Element::e5m2:
      format(2, 15, 0x7b);
      break;
    case Element::f32:
      LOCKSTEP_EXPECT(false, "a copy in f32 is no copy");
  }
  return made;
}

}  // namespace lockstep::cuda::detail
