// The optimizer's pass on a GPU: what harness/compute/adam_update.cpp does on a CPU. Compiled when it is first
// needed, by NVRTC for the card at hand; the tests compile the same text for the CPU. No header is needed for
// that, so nothing has to be installed but NVRTC itself.

struct AdamArguments {
  unsigned long long elements;
  const float* gradients;
  float* parameters;
  float* first_moments;
  float* second_moments;
  void* copy;         // of the new parameters, in another format; may be null
  int copy_bytes;     // of one element: 1 or 2
  int fraction_bits;  // of the copy's format, as are the next two
  int exponent_bias;
  unsigned largest;  // code of the largest finite number
  float rate;
  float first_decay;
  float second_decay;
  float epsilon;
  float weight_decay;
};

// The code of `value` in a format with a sign, an exponent and `fraction_bits` of fraction: nearest, ties to even
// (IEEE 754), and the largest finite number for everything beyond it.
__device__ inline unsigned narrow(float value, int fraction_bits, int exponent_bias, unsigned largest,
                                  int sign_bit) {
  const unsigned bits = __float_as_uint(value);
  const unsigned magnitude = bits & 0x7fffffffU;
  const bool subnormal = magnitude < 0x800000U;  // of fp32: its exponent is that of the least normal number
  const int exponent = subnormal ? -126 : static_cast<int>(magnitude >> 23) - 127;
  const int least = 1 - exponent_bias;
  unsigned wide = magnitude;
  int shift = 23 - fraction_bits;
  unsigned offset = static_cast<unsigned>(127 - exponent_bias) << fraction_bits;
  if (exponent < least) {  // below the format's normal numbers: its steps are all alike
    wide = (magnitude & 0x7fffffU) | (subnormal ? 0U : 0x800000U);
    shift += least - exponent;
    offset = 0;
  }
  unsigned code = 0;
  if (shift < 26) {
    const unsigned half = shift > 0 ? (1U << (shift - 1)) - 1 + ((wide >> shift) & 1U) : 0U;
    code = ((wide + half) >> shift) - offset;
  }
  if (code > largest)
    code = largest;
  return code | ((bits >> 31) << sign_bit);
}

extern "C" __global__ void adam_update(AdamArguments s) {
  const unsigned long long stride = static_cast<unsigned long long>(gridDim.x) * blockDim.x;
  const unsigned long long first_element = static_cast<unsigned long long>(blockIdx.x) * blockDim.x + threadIdx.x;
  for (unsigned long long i = first_element; i < s.elements; i += stride) {
    const float gradient = s.gradients[i];
    const float first = s.first_decay * s.first_moments[i] + (1.0F - s.first_decay) * gradient;
    const float second = s.second_decay * s.second_moments[i] + (1.0F - s.second_decay) * gradient * gradient;
    const float before = s.parameters[i];
    const float after = before - s.rate * (first / (sqrtf(second) + s.epsilon) + s.weight_decay * before);
    s.first_moments[i] = first;
    s.second_moments[i] = second;
    s.parameters[i] = after;
    if (s.copy_bytes == 2)
      static_cast<unsigned short*>(s.copy)[i] =
          static_cast<unsigned short>(narrow(after, s.fraction_bits, s.exponent_bias, s.largest, 8 * s.copy_bytes - 1));
    else if (s.copy_bytes == 1)
      static_cast<unsigned char*>(s.copy)[i] =
          static_cast<unsigned char>(narrow(after, s.fraction_bits, s.exponent_bias, s.largest, 8 * s.copy_bytes - 1));
  }
}
