#include "harness/certify/time_account.hpp"

#include <algorithm>
#include <map>
#include <numeric>

#include "harness/core/error.hpp"
#include "harness/core/units.hpp"
#include "harness/stats/stall.hpp"

namespace lockstep::certify {
namespace {

/// Checkpoints of one launch, by the training steps that they hold.
struct Saves {
  std::map<std::uint32_t, double> seconds;     ///< of the slowest rank
  std::map<std::uint32_t, std::size_t> ranks;  ///< that saved and verified it
  [[nodiscard]] std::uint32_t newest(std::size_t all_ranks) const {
    std::uint32_t step = 0;
    for (const auto& [held, count] : ranks)
      step = count >= all_ranks ? std::max(step, held) : step;
    return step;
  }
};

Saves saves_of(const Launch& launch, const record::Evidence& evidence) {
  Saves saves;
  for (const record::CheckpointRow& row : evidence.checkpoints) {
    if (row.leg != launch.leg->leg || row.action != "save")
      continue;
    double& seconds = saves.seconds[row.step];
    seconds = std::max(seconds, seconds_from_ns(row.end_ns - row.begin_ns));
    saves.ranks[row.step] += row.verified != 0 ? 1 : 0;
  }
  return saves;
}

double wall_of(const Launch& launch) {
  return launch.end == nullptr ? 0.0
                               : seconds_from_ns(launch.end->ended_utc_ns - launch.leg->launched_utc_ns);
}

/// What lies between the rows of a step and the end of the one before it, on the slowest rank.
double longest_rank_s(const JudgedStep& step) {
  std::int64_t longest_ns = 0;
  for (const record::StepRow* row : step.rows)
    longest_ns = std::max(longest_ns, row->end_ns - row->begin_ns);
  return seconds_from_ns(longest_ns);
}

double exposed_s(const JudgedStep& step) {
  std::int64_t exposed_ns = 0;
  for (const record::StepRow* row : step.rows)
    exposed_ns = std::max(exposed_ns, row->exposed_ns);
  return seconds_from_ns(exposed_ns);
}

double tokens_of(const Launch& launch) {
  return std::accumulate(launch.ranks.begin(), launch.ranks.end(), 0.0,
                         [](double sum, const record::RankRow* rank) { return sum + rank->tokens_per_step; });
}

class Account {
 public:
  explicit Account(const record::Evidence& evidence) : evidence_(evidence) {}

  /// `kept_until`: training steps of this attempt from here on are lost.
  void add(const Launch& launch, std::uint32_t kept_until) {
    const double wall_s = wall_of(launch);
    const Saves saves = saves_of(launch, evidence_);
    const stats::StallThreshold threshold = stats::StallRule{}.threshold(launch.steady_times_s());
    const double tokens = tokens_of(launch);
    double left_s = wall_s;  // not in a bucket yet
    const auto put = [&](TimeBucket bucket, double seconds) {
      const double taken = std::clamp(seconds, 0.0, left_s);
      account.seconds[static_cast<std::size_t>(bucket)] += taken;
      left_s -= taken;
    };
    for (const JudgedStep& step : launch.steps) {
      const std::uint32_t training_step = launch.leg->first_step + step.step;
      double step_s = step.time_s();
      put(TimeBucket::checkpoint, seconds_from_ns(step.paused_ns));
      if (training_step >= kept_until) {
        ++account.lost_steps;
        put(TimeBucket::lost, step_s);
        continue;
      }
      ++account.kept_steps;
      account.kept_tokens += tokens;
      if (step.steady && threshold.is_stall(step_s)) {
        put(TimeBucket::stall, step_s - threshold.median);
        step_s = threshold.median;
      }
      const double between_s = std::max(0.0, step_s - longest_rank_s(step));
      const double waiting_s = std::min(exposed_s(step), step_s - between_s);
      put(TimeBucket::idle, between_s);
      put(TimeBucket::exposed, waiting_s);
      put(TimeBucket::productive, step_s - between_s - waiting_s);
    }
    // One that was saved behind the last step.
    const std::uint32_t after_last =
        launch.leg->first_step + (launch.steps.empty() ? 0 : launch.steps.back().step + 1);
    if (const auto save = saves.seconds.find(after_last);
        save != saves.seconds.end() && !launch.steps.empty())
      put(TimeBucket::checkpoint, save->second);
    double detection_s = 0.0;
    for (const record::IncidentRow& incident : evidence_.incidents) {
      if (incident.leg == launch.leg->leg && incident.began_utc_ns > 0)
        detection_s =
            std::max(detection_s, seconds_from_ns(incident.detected_utc_ns - incident.began_utc_ns));
    }
    put(TimeBucket::detection, detection_s);
    put(TimeBucket::restart, left_s);
  }

  TimeAccount account;

 private:
  const record::Evidence& evidence_;
};

}  // namespace

const char* to_string(TimeBucket bucket) {
  switch (bucket) {
    case TimeBucket::productive:
      return "productive";
    case TimeBucket::exposed:
      return "exposed_communication";
    case TimeBucket::stall:
      return "stall";
    case TimeBucket::checkpoint:
      return "checkpoint";
    case TimeBucket::lost:
      return "lost_work";
    case TimeBucket::detection:
      return "detection";
    case TimeBucket::restart:
      return "restart";
    case TimeBucket::idle:
      return "idle";
  }
  LOCKSTEP_EXPECT(false, "no such bucket");
}

TimeAccount& TimeAccount::operator+=(const TimeAccount& other) {
  wall_s += other.wall_s;
  for (std::size_t i = 0; i < kTimeBuckets; ++i)
    seconds[i] += other.seconds[i];
  attempts += other.attempts;
  kept_steps += other.kept_steps;
  lost_steps += other.lost_steps;
  kept_tokens += other.kept_tokens;
  return *this;
}

TimeAccount account_time(const Round& round, const record::Evidence& evidence) {
  Account account(evidence);
  const Launch* before = nullptr;
  for (std::size_t i = 0; i < round.attempts.size(); ++i) {
    const Launch& launch = *round.attempts[i];
    std::uint32_t kept_until = UINT32_MAX;
    if (i + 1 < round.attempts.size())
      kept_until = round.attempts[i + 1]->leg->first_step;
    else if (!launch.completed())
      kept_until = std::max(launch.leg->first_step, saves_of(launch, evidence).newest(launch.leg->ranks));
    account.add(launch, kept_until);
    if (before != nullptr && before->end != nullptr) {
      account.account.seconds[static_cast<std::size_t>(TimeBucket::restart)] +=
          std::max(0.0, seconds_from_ns(launch.leg->launched_utc_ns - before->end->ended_utc_ns));
    }
    before = &launch;
  }
  account.account.attempts = round.attempts.size();
  account.account.wall_s =
      std::accumulate(account.account.seconds.begin(), account.account.seconds.end(), 0.0);
  return account.account;
}

}  // namespace lockstep::certify
