#include "harness/stats/failure_rate.hpp"

#include "harness/core/error.hpp"
#include "harness/stats/distributions.hpp"

namespace lockstep::stats {

double failure_rate_upper_bound(unsigned incidents, double exposure, double confidence) {
  LOCKSTEP_EXPECT(exposure > 0.0, "a failure rate needs an exposure");
  LOCKSTEP_EXPECT(confidence > 0.0 && confidence < 1.0, "a confidence lies between 0 and 1");
  // chi2(c; 2n+2)/2 is the mean at which a Poisson count of n or less has probability 1-c.
  double low = 0.0;
  double high = 1.0;
  while (poisson_cdf(incidents, high) > 1.0 - confidence)
    high *= 2.0;
  for (int i = 0; i < 200 && high - low > 1e-13 * high; ++i) {
    const double middle = 0.5 * (low + high);
    (poisson_cdf(incidents, middle) > 1.0 - confidence ? low : high) = middle;
  }
  return 0.5 * (low + high) / exposure;
}

}  // namespace lockstep::stats
