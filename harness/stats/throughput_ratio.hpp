#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace lockstep::stats {

/// Step times of one leg: `rounds[r]` are the steady steps of its launch in round r, in any unit that is the
/// same everywhere. An empty round was not launched or gave nothing.
struct LegTimes {
  double work_per_step = 1.0;  ///< e.g. tokens of one rank in one step
  std::vector<std::vector<double>> rounds;
};

/// Work per time over all steps of all rounds: total work / total time, never a mean of ratios. 0 without
/// steps.
[[nodiscard]] double throughput(const LegTimes& leg);

/// A ratio of throughputs with its interval. `value` may lie outside [low, high] only when no interval could
/// be computed (rounds == 0).
struct ThroughputRatio {
  double value = 0.0;
  double low = 0.0;
  double high = 0.0;
  std::size_t best = 0;         ///< index of the baseline with the highest throughput
  std::size_t rounds = 0;       ///< that every leg has, which the interval is computed from
  double standard_error = 0.0;  ///< of ln(joint / best)
  double within_error = 0.0;    ///< the part of it that the scatter of steps within launches explains
  double degrees = 0.0;         ///< of freedom of the t quantile used; 1e6: normal
};

struct RatioOptions {
  double confidence = 0.95;
  std::size_t replicates = 2000;
  std::uint64_t seed = 0x10c57e9;
};

/// joint / best of the baselines, with an interval that holds for few launches, correlated steps and
/// baselines that tie.
///
/// Method. Every baseline i has a ratio eta_i = X_joint / X_i, and eta = min_i eta_i.
/// 1. Within launches: moving-block bootstrap of every launch's total time (BlockResampler), rounds kept;
///    gives the variance V_w of ln eta_i. The blocks' variance is scaled by n/(n - block length), since
///    deviations are taken from the launch's own mean.
/// 2. Between launches: ln throughput by leg and round, less the mean of its leg and of its round. Removing
///    the round's mean is what cancels a slow drift of the machine, because the legs of a round run side by
///    side. The residuals have (legs-1)(rounds-1) degrees of freedom; their variance, or that of the
///    joint-to-baseline differences over rounds where it is larger, gives V_b, which contains V_w on average.
/// 3. V = max(V_w, V_b), and Student's t with nu = degrees * (V/V_b)^2 degrees of freedom (Satterthwaite,
///    Biometrics Bulletin 2, 1946: V_w counts as known). With few rounds and launches that differ, the
///    interval is wide, as it must be.
/// 4. The lower end is the least of the eta_i's lower ends at (1-confidence)/2 each, which holds at the same
///    level for the minimum, whichever baseline is truly best (intersection-union test; Berger,
///    Technometrics 24, 1982). The upper end is the least of the upper ends at (1-confidence)/(2*baselines)
///    each (Bonferroni). So the choice of the best baseline from noisy data cannot lift the lower end.
///
/// With one round only the scatter within launches is covered: `rounds` == 1 says so, and the caller must
/// tell. `joint` and each of `baselines` must have equally many rounds; the sharp edge is that a round
/// missing from one leg is left out of the interval for all (not of `value`).
[[nodiscard]] ThroughputRatio ratio_to_best(const LegTimes& joint, std::span<const LegTimes> baselines,
                                            const RatioOptions& options = {});

}  // namespace lockstep::stats
