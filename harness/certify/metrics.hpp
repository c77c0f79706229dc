#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "harness/certify/device_health.hpp"
#include "harness/certify/time_buckets.hpp"
#include "harness/plan/plan.hpp"
#include "harness/record/evidence.hpp"
#include "harness/stats/bootstrap.hpp"
#include "harness/stats/quantile.hpp"
#include "harness/stats/throughput_ratio.hpp"

/// Figures computed from evidence. They judge nothing: see criteria.hpp and gaps.hpp.
///
/// Step time of step s = E(s) - E(s-1), where E(s) is the instant, on the clock common to the launch's ranks,
/// at which its last rank finished step s; the first step counts from the latest begin. So what lies between
/// two steps (checking data, bookkeeping) is part of a step's time. Only steady steps (no rank flags them as
/// warm-up) that every rank completed are counted.
namespace lockstep::certify {

/// Step times of one leg or one of its rounds.
struct StepFigures {
  stats::Summary time_s;               ///< over steps, seconds
  double tokens_per_s_per_rank = 0.0;  ///< total tokens / total time, by rank
  std::size_t stalls = 0;              ///< stats::StallRule with its default floors, applied to each round
};

struct RoundMetrics {
  std::uint32_t round = 0;
  StepFigures figures;
};

struct LegMetrics {
  std::string name;
  plan::LegKind kind = plan::LegKind::baseline;
  std::uint32_t ranks = 0;
  double tokens_per_step = 0.0;  ///< of one rank, mean over ranks
  StepFigures figures;           ///< all rounds together
  std::vector<RoundMetrics> rounds;
  /// Each is the sum over steps of the largest value of any rank, divided by the sum of the step times; the
  /// largest may be another rank's in each step, so that they need not add up to 1.
  double compute_share = 0.0;
  double exposed_share = 0.0;  ///< compute stream stood still for communication
  double waiting_share = 0.0;  ///< in communication, waiting for the last rank to arrive
  double compute_s = 0.0;      ///< compute part of a step: largest of any rank, mean over steps
};

struct SiteContribution {
  std::string site;
  double value = 0.0;  ///< (X_joint - sum of the other sites' X alone) / X alone, X in tokens/s of all ranks
};

/// One kind and size of communication of the joint leg. Time of an operation in a step: shortest of any rank
/// of the group (waiting taken off), the largest of these where a group has several parts.
struct CommFigures {
  std::string kind;
  std::string group;
  std::uint64_t bytes = 0;  ///< S in the conventions of nccl-tests
  std::uint32_t ranks = 0;
  bool spans_sites = false;
  std::size_t samples = 0;     ///< operations, over steps
  double time_s = 0.0;         ///< p50 over operations
  double algbw = 0.0;          ///< S / time, bytes/s
  double busbw = 0.0;          ///< algbw * factor of nccl-tests, bytes/s
  double cut_bandwidth = 0.0;  ///< bytes/s over the boundary of a site; 0 unless it spans sites
};

/// The joint leg's communication between sites, mean over steady steps.
struct WanFigures {
  double exposed_s = 0.0;  ///< of a step, of the worst rank, waiting taken off
  std::uint32_t worst_rank = 0;
  double transfer_s = 0.0;  ///< of a step: sum over its operations of their times (see CommFigures)
  double cut_bytes = 0.0;   ///< of a step, over the boundary of one site
};

/// Stalls of the joint leg that have one cause and culprit.
struct StallCause {
  std::string cause;    ///< as in record::StallRow; unknown when no cause stands out
  std::string culprit;  ///< likewise
  std::size_t steps = 0;
  double cost_s = 0.0;      ///< beyond the median, mean over all steady steps of the joint leg
  double confidence = 0.0;  ///< mean, weighted by what each stall cost
};

/// The joint leg's stalls: stats::StallRule, applied to each launch, over the step times of this certificate
/// (from one step's end on its last rank to the next one's). Causes are those of watch::StallAttribution.
struct JointStalls {
  std::size_t steps = 0;                ///< stalls among the steady steps
  std::size_t between_sites = 0;        ///< whose cause is slow_wan
  std::size_t in_compute = 0;           ///< whose cause is slow_compute or slow_host
  double longest_s = 0.0;               ///< step time
  double cost_s = 0.0;                  ///< of all stalls beyond the median, mean over all steady steps
  double between_sites_cost_s = 0.0;    ///< of those between sites, likewise
  std::vector<StallCause> causes;       ///< the costliest first
  std::vector<record::StallRow> worst;  ///< the longest first, at most 10; length and median as above
};

struct DataCheck {
  std::size_t least_checked_steps = 0;  ///< of any rank in any launch of the joint leg
  std::size_t wrong_values = 0;         ///< failure rows and steps flagged corrupt, all legs
  std::size_t checksum_mismatches = 0;  ///< rows, and steps whose ranks disagree by our own comparison
  std::size_t wrong_results = 0;        ///< of GEMMs, by their checksums, all legs
  std::string first;                    ///< the first of them, in words
  [[nodiscard]] std::size_t wrong() const { return wrong_values + checksum_mismatches + wrong_results; }
};

struct Metrics {
  std::vector<LegMetrics> legs;  ///< in the plan's order
  std::optional<stats::ThroughputRatio> eta;
  std::string eta_best;  ///< name of the best baseline leg
  std::optional<double> tail_ratio;
  std::optional<stats::Interval> tail_interval;
  std::optional<double> exposed_wan;  ///< fraction of the step
  std::optional<WanFigures> wan;
  JointStalls stalls;
  std::vector<SiteContribution> contributions;  ///< empty when a baseline or the joint leg is lacking
  std::optional<double> effective_time;
  double effective_wall_s = 0.0;      ///< its denominator
  TimeAccount joint_time;             ///< of the joint leg, all rounds and attempts
  std::optional<double> clock_bound;  ///< largest bound / median step time, over legs
  DataCheck data;
  std::optional<double> low_communication;
  std::vector<CommFigures> comms;
  DeviceHealth devices;
  [[nodiscard]] const LegMetrics* joint() const;
  [[nodiscard]] const LegMetrics* leg(const std::string& name) const;
};

/// Bytes that cross the boundary of one of `sites` sites: S*2(m-1)/m for an all-reduce, S*(m-1)/m for
/// reduce-scatter, all-gather and all-to-all, S for broadcast and send/recv, 0 for a barrier.
[[nodiscard]] double cut_bytes(const std::string& kind, double bytes, std::size_t sites);

/// Factor of nccl-tests from algbw to busbw.
[[nodiscard]] double busbw_factor(const std::string& kind, std::uint32_t ranks);

/// What cannot be computed from this evidence stays empty.
[[nodiscard]] Metrics compute_metrics(const record::Evidence& evidence, const plan::Plan& plan);

}  // namespace lockstep::certify
