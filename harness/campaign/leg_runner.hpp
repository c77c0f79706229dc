#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "harness/campaign/campaign.hpp"
#include "harness/campaign/diagnosis.hpp"
#include "harness/campaign/drills.hpp"
#include "harness/campaign/leg_watch.hpp"
#include "harness/campaign/recovery.hpp"
#include "harness/campaign/schedule.hpp"
#include "harness/campaign/time_left.hpp"
#include "harness/record/merge.hpp"
#include "harness/record/run_file.hpp"

namespace lockstep::campaign {

/// What one launch left.
struct LegResult {
  record::LegEndRow end;
  std::optional<Diagnosis> diagnosis;  ///< nullopt when nothing was wrong
  bool interrupted = false;
  double seconds = 0.0;
  std::set<std::string> failed_hosts;       ///< to blame, as far as it is known
  std::optional<RestartDecision> decision;  ///< what follows, after a failure
};
/// Asked once, when a launch has failed and who is to blame has been found out.
using DecideRestart = std::function<RestartDecision(const LegResult&)>;

/// Makes one launch: starts it, follows its journals into the run file, stops it when a stop signal comes or
/// a deadline passes, and closes its evidence. One object serves a campaign.
class LegRunner {
 public:
  LegRunner(const plan::Plan& plan, const Options& options, const ResultsFolder& folder, StopSignals& stop,
            record::RunFileWriter& writer, TimeLeft& time_left, const ProgressCallback& on_progress,
            std::uint32_t first_incident);

  /// `launches`: of the whole campaign, for progress. `hosts`: see hosts_of_leg(). `drills`: of its leg and
  /// round. Throws RunError when evidence cannot be written; the launch has then been ended.
  LegResult run(Launch launch, std::uint32_t launches, const std::vector<HostSlots>& hosts, Drills& drills,
                const DecideRestart& decide);
  /// Puts an event into the run file and tells it. `leg`: index of a launch, or -1.
  void note(const std::string& kind, std::int32_t leg, const std::string& message);
  /// Puts a fault that was made or taken back into the run file, and tells it.
  void record(const record::DrillRow& row);

 private:
  struct Running;
  [[nodiscard]] Running start(const Launch& launch, std::uint32_t launches,
                              const std::vector<HostSlots>& hosts);
  void watch_stalls(Running& running);
  void watch_processes(Running& running);
  void make_faults(Running& running);
  void follow(Running& running);
  void ask_to_stop(Running& running);
  void listen(Running& running);
  LegResult close(Running& running);
  /// What is found out from the launch's rows; fills in who is to blame.
  record::Conclusions conclude(Running& running, const record::Evidence& launch, LegResult& result);
  void tell(Running& running, Progress::Moment moment, const Sight& sight);

  const plan::Plan& plan_;
  const Options& options_;
  const ResultsFolder& folder_;
  StopSignals& stop_;
  record::RunFileWriter& writer_;
  TimeLeft& time_left_;
  const ProgressCallback& on_progress_;
  std::uint32_t next_incident_ = 0;
};

}  // namespace lockstep::campaign
