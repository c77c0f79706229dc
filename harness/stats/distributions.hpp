#pragma once

namespace lockstep::stats {

/// Quantile of the standard normal distribution, 0 < p < 1.
[[nodiscard]] double normal_quantile(double p);

/// Distribution function of Student's t with `degrees` > 0 degrees of freedom (need not be whole).
[[nodiscard]] double student_t_cdf(double t, double degrees);

/// Its quantile, 0 < p < 1; the normal quantile from 1e6 degrees on.
[[nodiscard]] double student_t_quantile(double p, double degrees);

/// P(N <= count) for N Poisson distributed with `mean` >= 0.
[[nodiscard]] double poisson_cdf(unsigned count, double mean);

}  // namespace lockstep::stats
