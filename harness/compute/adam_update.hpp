#pragma once

#include <cstddef>

namespace lockstep::compute {

/// One step of Adam with decoupled weight decay, without bias correction (Loshchilov and Hutter, "Decoupled
/// Weight Decay Regularization", 2019, algorithm 2):
///   m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2;  p = p - rate (m / (sqrt(v) + eps) + decay p).
/// The decay is 1 and the rate tiny, so that after any number of steps |p| stays below the larger of its
/// first value and (1 - b1) / sqrt((1 - b2) (1 - b1^2 / b2)) = 7.3, the most that |m| / sqrt(v) can be. v
/// must start at 0 or more.
struct AdamSettings {
  float rate = 1e-6F;
  float first_decay = 0.9F;     ///< b1
  float second_decay = 0.999F;  ///< b2
  float epsilon = 1e-8F;
  float weight_decay = 1.0F;
};

/// Updates `elements` parameters and both moments in place. The arrays do not overlap.
void adam_update(const AdamSettings& settings, std::size_t elements, const float* gradients,
                 float* parameters, float* first_moments, float* second_moments) noexcept;

}  // namespace lockstep::compute
