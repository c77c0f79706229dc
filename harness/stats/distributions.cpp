#include "harness/stats/distributions.hpp"

#include <cmath>

#include "harness/core/error.hpp"

namespace lockstep::stats {
namespace {

// ln Gamma(x) by Stirling's series after shifting x to 10 or more: std::lgamma writes a global variable.
double log_gamma(double x) {
  double shift = 0.0;
  while (x < 10.0) {
    shift -= std::log(x);
    x += 1.0;
  }
  constexpr double kHalfLogTwoPi = 0.91893853320467274178;
  const double inverse = 1.0 / x;
  const double square = inverse * inverse;
  const double series =
      inverse * (1.0 / 12.0 - square * (1.0 / 360.0 - square * (1.0 / 1260.0 - square / 1680.0)));
  return shift + (x - 0.5) * std::log(x) - x + kHalfLogTwoPi + series;
}

// Continued fraction of the incomplete beta function by the modified Lentz method.
double beta_fraction(double a, double b, double x) {
  constexpr double kTiny = 1e-300;
  const auto away_from_zero = [](double value) { return std::fabs(value) < kTiny ? kTiny : value; };
  double c = 1.0;
  double d = 1.0 / away_from_zero(1.0 - (a + b) * x / (a + 1.0));
  double result = d;
  for (int m = 1; m <= 10000; ++m) {
    const double twice = 2.0 * m;
    const double even = m * (b - m) * x / ((a + twice - 1.0) * (a + twice));
    d = 1.0 / away_from_zero(1.0 + even * d);
    c = away_from_zero(1.0 + even / c);
    result *= d * c;
    const double odd = -(a + m) * (a + b + m) * x / ((a + twice) * (a + twice + 1.0));
    d = 1.0 / away_from_zero(1.0 + odd * d);
    c = away_from_zero(1.0 + odd / c);
    const double factor = d * c;
    result *= factor;
    if (std::fabs(factor - 1.0) < 1e-15)
      break;
  }
  return result;
}

// Regularised incomplete beta function I_x(a, b).
double incomplete_beta(double a, double b, double x) {
  if (x <= 0.0)
    return 0.0;
  if (x >= 1.0)
    return 1.0;
  const double front =
      std::exp(log_gamma(a + b) - log_gamma(a) - log_gamma(b) + a * std::log(x) + b * std::log1p(-x));
  // The fraction converges fast on this side only; the other follows by symmetry.
  if (x < (a + 1.0) / (a + b + 2.0))
    return front * beta_fraction(a, b, x) / a;
  return 1.0 - front * beta_fraction(b, a, 1.0 - x) / b;
}

}  // namespace

double normal_quantile(double p) {
  LOCKSTEP_EXPECT(p > 0.0 && p < 1.0, "a quantile needs a probability between 0 and 1");
  double low = -40.0;
  double high = 40.0;
  for (int i = 0; i < 200 && high - low > 1e-14; ++i) {
    const double middle = 0.5 * (low + high);
    (0.5 * std::erfc(-middle / std::sqrt(2.0)) < p ? low : high) = middle;
  }
  return 0.5 * (low + high);
}

double student_t_cdf(double t, double degrees) {
  LOCKSTEP_EXPECT(degrees > 0.0, "Student's t needs degrees of freedom");
  const double tail = 0.5 * incomplete_beta(0.5 * degrees, 0.5, degrees / (degrees + t * t));
  return t > 0.0 ? 1.0 - tail : tail;
}

double student_t_quantile(double p, double degrees) {
  LOCKSTEP_EXPECT(p > 0.0 && p < 1.0, "a quantile needs a probability between 0 and 1");
  if (degrees >= 1e6)
    return normal_quantile(p);
  if (p < 0.5)
    return -student_t_quantile(1.0 - p, degrees);
  double low = 0.0;
  double high = 1.0;
  while (student_t_cdf(high, degrees) < p && high < 1e15)
    high *= 2.0;
  for (int i = 0; i < 100 && high - low > 1e-12 * high; ++i) {
    const double middle = 0.5 * (low + high);
    (student_t_cdf(middle, degrees) < p ? low : high) = middle;
  }
  return 0.5 * (low + high);
}

double poisson_cdf(unsigned count, double mean) {
  LOCKSTEP_EXPECT(mean >= 0.0, "a Poisson mean is not negative");
  // Terms in logarithms: a power and a factorial would overflow long before their ratio does.
  if (mean == 0.0)
    return 1.0;
  double sum = 0.0;
  double log_term = -mean;
  for (unsigned k = 0; k <= count; ++k) {
    if (k > 0)
      log_term += std::log(mean) - std::log(static_cast<double>(k));
    sum += std::exp(log_term);
  }
  return sum;
}

}  // namespace lockstep::stats
