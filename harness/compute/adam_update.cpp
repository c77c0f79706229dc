#include "harness/compute/adam_update.hpp"

#include <cmath>

namespace lockstep::compute {

void adam_update(const AdamSettings& settings, std::size_t elements, const float* __restrict gradients,
                 float* __restrict parameters, float* __restrict first_moments,
                 float* __restrict second_moments) noexcept {
  const AdamSettings s = settings;  // a copy: stores to the arrays cannot change it
  for (std::size_t i = 0; i < elements; ++i) {
    const float gradient = gradients[i];
    const float first = s.first_decay * first_moments[i] + (1.0F - s.first_decay) * gradient;
    const float second = s.second_decay * second_moments[i] + (1.0F - s.second_decay) * gradient * gradient;
    first_moments[i] = first;
    second_moments[i] = second;
    parameters[i] -= s.rate * (first / (std::sqrt(second) + s.epsilon) + s.weight_decay * parameters[i]);
  }
}

}  // namespace lockstep::compute
