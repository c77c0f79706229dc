#include "harness/stats/throughput_ratio.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "harness/core/error.hpp"
#include "harness/stats/bootstrap.hpp"
#include "harness/stats/distributions.hpp"
#include "harness/stats/quantile.hpp"

namespace lockstep::stats {
namespace {

constexpr double kKnown = 1e6;  // degrees of freedom from which t is the normal distribution

/// The launches that every leg has; leg 0 is the joint leg.
using Launches = std::vector<std::vector<const std::vector<double>*>>;

Launches common_rounds(const LegTimes& joint, std::span<const LegTimes> baselines) {
  Launches launches(baselines.size() + 1);
  for (std::size_t round = 0; round < joint.rounds.size(); ++round) {
    bool everywhere = !joint.rounds[round].empty();
    for (const LegTimes& baseline : baselines)
      everywhere = everywhere && round < baseline.rounds.size() && !baseline.rounds[round].empty();
    if (!everywhere)
      continue;
    launches[0].push_back(&joint.rounds[round]);
    for (std::size_t i = 0; i < baselines.size(); ++i)
      launches[i + 1].push_back(&baselines[i].rounds[round]);
  }
  return launches;
}

/// Variance of ln(total time) of each leg, from the scatter within its launches.
std::vector<double> variance_within(const Launches& launches, const RatioOptions& options) {
  std::vector<double> variances;
  Random random(options.seed);
  for (const auto& leg : launches) {
    std::vector<BlockResampler> resamplers;
    double total = 0.0;
    for (const std::vector<double>* launch : leg) {
      resamplers.emplace_back(*launch);
      total += resamplers.back().total();
    }
    std::vector<double> logs;
    logs.reserve(options.replicates);
    for (std::size_t i = 0; i < options.replicates; ++i) {
      double drawn = 0.0;
      for (const BlockResampler& resampler : resamplers) {
        const auto n = static_cast<double>(resampler.size());
        const auto block = static_cast<double>(resampler.block_length());
        const double scale = n > block ? std::sqrt(n / (n - block)) : 1.0;
        drawn += resampler.total() + scale * (resampler.draw_total(random) - resampler.total());
      }
      logs.push_back(std::log(std::max(drawn, 1e-3 * total)));
    }
    const double spread = stdev(logs);
    variances.push_back(spread * spread);
  }
  return variances;
}

/// ln throughput by leg and round, up to a constant of the leg.
std::vector<std::vector<double>> log_rates(const Launches& launches) {
  std::vector<std::vector<double>> logs;
  for (const auto& leg : launches) {
    std::vector<double>& row = logs.emplace_back();
    for (const std::vector<double>* launch : leg)
      row.push_back(-std::log(mean(*launch)));
  }
  return logs;
}

/// Variance of one launch's ln throughput once leg and round are accounted for.
double residual_variance(const std::vector<std::vector<double>>& logs) {
  const std::size_t legs = logs.size();
  const std::size_t rounds = logs[0].size();
  std::vector<double> of_leg;
  std::vector<double> of_round(rounds, 0.0);
  for (const auto& row : logs) {
    of_leg.push_back(mean(row));
    for (std::size_t r = 0; r < rounds; ++r)
      of_round[r] += row[r] / static_cast<double>(legs);
  }
  const double overall = mean(of_leg);
  double squares = 0.0;
  for (std::size_t l = 0; l < legs; ++l)
    for (std::size_t r = 0; r < rounds; ++r) {
      const double residual = logs[l][r] - of_leg[l] - of_round[r] + overall;
      squares += residual * residual;
    }
  return squares / static_cast<double>((legs - 1) * (rounds - 1));
}

struct Spread {
  double variance = 0.0;
  double degrees = kKnown;
};

Spread spread_of(double within, double residual, const std::vector<double>& joint,
                 const std::vector<double>& baseline, std::size_t legs) {
  const std::size_t rounds = joint.size();
  if (rounds < 2)
    return {within, kKnown};
  std::vector<double> differences;
  for (std::size_t r = 0; r < rounds; ++r)
    differences.push_back(joint[r] - baseline[r]);
  const double own = stdev(differences);
  const double between = std::max(2.0 * residual, own * own) / static_cast<double>(rounds);
  const double variance = std::max(within, between);
  if (between <= 0.0)
    return {variance, kKnown};
  const double degrees =
      static_cast<double>((legs - 1) * (rounds - 1)) * (variance / between) * (variance / between);
  return {variance, std::min(degrees, kKnown)};
}

}  // namespace

double throughput(const LegTimes& leg) {
  double time = 0.0;
  std::size_t steps = 0;
  for (const std::vector<double>& round : leg.rounds) {
    for (const double step : round)
      time += step;
    steps += round.size();
  }
  return time > 0.0 ? leg.work_per_step * static_cast<double>(steps) / time : 0.0;
}

ThroughputRatio ratio_to_best(const LegTimes& joint, std::span<const LegTimes> baselines,
                              const RatioOptions& options) {
  LOCKSTEP_EXPECT(!baselines.empty(), "a ratio needs a baseline");
  LOCKSTEP_EXPECT(options.confidence > 0.0 && options.confidence < 1.0, "a confidence lies between 0 and 1");
  LOCKSTEP_EXPECT(options.replicates >= 2, "a bootstrap needs replicates");
  ThroughputRatio ratio;
  double best = 0.0;
  for (std::size_t i = 0; i < baselines.size(); ++i) {
    const double rate = throughput(baselines[i]);
    if (rate > best) {
      best = rate;
      ratio.best = i;
    }
  }
  const double joint_rate = throughput(joint);
  if (best <= 0.0 || joint_rate <= 0.0)
    return ratio;
  ratio.value = joint_rate / best;

  const Launches launches = common_rounds(joint, baselines);
  ratio.rounds = launches[0].size();
  if (ratio.rounds == 0)
    return ratio;
  const std::vector<double> within = variance_within(launches, options);
  const std::vector<std::vector<double>> logs = log_rates(launches);
  const double residual = ratio.rounds >= 2 ? residual_variance(logs) : 0.0;
  const double outside = 0.5 * (1.0 - options.confidence);
  ratio.low = std::numeric_limits<double>::infinity();
  ratio.high = std::numeric_limits<double>::infinity();
  for (std::size_t i = 0; i < baselines.size(); ++i) {
    const double within_i = within[0] + within[i + 1];
    const Spread spread = spread_of(within_i, residual, logs[0], logs[i + 1], launches.size());
    const double error = std::sqrt(spread.variance);
    const double value = joint_rate / throughput(baselines[i]);
    const double down = student_t_quantile(1.0 - outside, spread.degrees);
    const double up =
        student_t_quantile(1.0 - outside / static_cast<double>(baselines.size()), spread.degrees);
    ratio.low = std::min(ratio.low, value * std::exp(-down * error));
    ratio.high = std::min(ratio.high, value * std::exp(up * error));
    if (i == ratio.best) {
      ratio.standard_error = error;
      ratio.within_error = std::sqrt(within_i);
      ratio.degrees = spread.degrees;
    }
  }
  return ratio;
}

}  // namespace lockstep::stats
