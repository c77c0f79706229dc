#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "harness/campaign/diagnosis.hpp"
#include "harness/plan/plan.hpp"
#include "harness/record/journal.hpp"

namespace lockstep::campaign {

/// What can be seen of a launch from outside.
struct Sight {
  std::uint32_t journals = 0;
  record::RankPhase furthest = record::RankPhase::starting;  ///< of any rank
  std::uint32_t steps = 0;                                   ///< most that any rank has completed
  double allowed_s = 0.0;             ///< most that any rank gives its present phase or step
  std::uint64_t change = 0;           ///< another value whenever a rank went on to another phase or step
  std::vector<double> new_steps_s{};  ///< lengths of the steps that one rank has completed since the last
                                      ///< look, warm-up left out
};

/// How long the controller waits. Every limit lies above the ranks' own deadline for the same thing: they
/// know more, and should be the ones to speak. Where a rank's deadline grows with what it has seen, it says
/// so in its journal (Sight::allowed_s), and the limit grows with it.
struct LegLimits {
  double first_step_s = 0.0;  ///< from the launch to the first rank's first step
  double progress_s = 0.0;    ///< without any rank completing a step
  double finish_s = 0.0;      ///< from the first rank's last step to the end of everything
  double slack_s = 0.0;       ///< on top of what a rank allows itself
};
/// `expected_step_s`: predicted time of a step; 0 when there is no prediction. `slack_s` lies between a
/// rank's own deadline and the controller's.
[[nodiscard]] LegLimits leg_limits(const plan::Plan& plan, double expected_step_s, double slack_s);

/// Decides when a launch has hung. There is no limit on the whole: a slow run that moves is data, and each of
/// its parts is bounded. Pure: the clock is an argument.
class LegWatch {
 public:
  LegWatch(LegLimits limits, std::int64_t launched_ns);
  /// Returns the reason to stop the launch, once it is overdue.
  [[nodiscard]] std::optional<Diagnosis> observe(std::int64_t now_ns, const Sight& sight);
  [[nodiscard]] bool stepped() const { return stepped_; }
  [[nodiscard]] std::uint32_t most_steps() const { return steps_; }  ///< that any rank has completed

 private:
  LegLimits limits_;
  std::int64_t launched_ns_;
  std::int64_t changed_ns_;
  std::int64_t finishing_ns_ = 0;
  std::int64_t longest_interval_ns_ = 0;
  std::uint32_t steps_ = 0;
  std::uint64_t change_ = 0;
  bool stepped_ = false;
};

/// Looks into the journals of a launch while it runs. At most the first 64 ranks: a hang stops all of them.
class JournalWatch {
 public:
  explicit JournalWatch(std::string folder) : folder_(std::move(folder)) {}
  [[nodiscard]] Sight look();
  /// Whom this step waits for at this moment, as watch::who_holds_up() tells it.
  [[nodiscard]] std::string who_holds_up(std::uint32_t step) const;

 private:
  void find_new();
  void open(const std::string& name);

  static constexpr std::size_t kMostWatched = 64;
  std::string folder_;
  std::map<std::string, record::JournalReader> readers_;
  std::uint32_t told_steps_ = 0;  ///< of the first rank
};

}  // namespace lockstep::campaign
