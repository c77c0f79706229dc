#pragma once

#include <cmath>
#include <numbers>
#include <vector>

#include "harness/stats/random.hpp"
#include "harness/stats/throughput_ratio.hpp"

/// Synthetic step times with known truth.
namespace lockstep::tests {

/// Standard normal (Box and Muller).
inline double draw_normal(stats::Random& random) {
  const double radius = std::sqrt(-2.0 * std::log(1.0 - random.uniform()));
  return radius * std::cos(2.0 * std::numbers::pi * random.uniform());
}

/// Scatter of one launch's steps.
struct Noise {
  double step = 0.03;           ///< standard deviation of a step, relative
  double correlation = 0.5;     ///< of neighbouring steps (AR(1))
  double launch = 0.004;        ///< standard deviation from launch to launch, relative
  double outlier_share = 0.01;  ///< of the steps are slow
  double outlier_tail = 3.0;    ///< exponent of the Pareto tail of how slow
};

/// Step times of one launch. Outliers lengthen every launch alike, so that ratios keep their true value.
inline std::vector<double> draw_launch(stats::Random& random, std::size_t steps, double mean_time,
                                       const Noise& noise) {
  const double shift = 1.0 + noise.launch * draw_normal(random);
  const double fresh = noise.step * std::sqrt(1.0 - noise.correlation * noise.correlation);
  double state = noise.step * draw_normal(random);
  std::vector<double> times;
  times.reserve(steps);
  for (std::size_t i = 0; i < steps; ++i) {
    double time = 1.0 + state;
    if (random.uniform() < noise.outlier_share)
      time += 0.2 * (std::pow(1.0 - random.uniform(), -1.0 / noise.outlier_tail));
    times.push_back(mean_time * shift * time);
    state = noise.correlation * state + fresh * draw_normal(random);
  }
  return times;
}

struct Campaign {
  stats::LegTimes joint;
  std::vector<stats::LegTimes> baselines;
};

/// `eta[i]`: true ratio of the joint leg to baseline i. The machine slows by `drift` a round, and within each
/// round for all legs alike.
inline Campaign draw_campaign(stats::Random& random, const std::vector<double>& eta, std::size_t rounds,
                              std::size_t steps, const Noise& noise, double drift = 0.0) {
  Campaign campaign;
  campaign.baselines.resize(eta.size());
  for (std::size_t r = 0; r < rounds; ++r) {
    const double pace = 0.05 * (1.0 + drift * static_cast<double>(r));
    campaign.joint.rounds.push_back(draw_launch(random, steps, pace, noise));
    for (std::size_t i = 0; i < eta.size(); ++i)
      campaign.baselines[i].rounds.push_back(draw_launch(random, steps, pace * eta[i], noise));
  }
  return campaign;
}

}  // namespace lockstep::tests
