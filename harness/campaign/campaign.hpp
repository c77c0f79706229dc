#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "harness/campaign/drills.hpp"
#include "harness/campaign/hosts.hpp"
#include "harness/campaign/launcher.hpp"
#include "harness/campaign/results_folder.hpp"
#include "harness/campaign/stop_signals.hpp"
#include "harness/plan/plan.hpp"
#include "harness/record/evidence.hpp"

/// The controller: launches every leg, watches it from outside, brings its evidence together, and leaves no
/// process behind.
namespace lockstep::campaign {

struct Options {
  std::string results_base = "results";
  Programs programs;  ///< see find_programs()
  LauncherPrefix launcher_prefix;
  FaultMaker make_fault;  ///< for drills that ranks cannot make themselves; unset: there are none
  std::function<void()>
      after_launch;  ///< once a launch has ended and before its evidence is closed; may be unset
  std::vector<std::pair<std::string, std::string>> provenance;  ///< facts about the whole run, by key
  Surroundings surroundings = this_machine();
  std::vector<HostSlots> hostfile;  ///< empty: the plan's hosts
  double stop_grace_s = 3.0;        ///< between asking a launch to end and killing it
  /// For ranks to come to the end of their step when they were asked to stop there: before that time the
  /// launch ends by itself, after it it is ended as if stopped at once. A step is often seconds long.
  double soon_patience_s = 60.0;           ///< StopWish::soon
  double promptly_patience_s = 15.0;       ///< StopWish::promptly: Slurm kills 30 s after SIGTERM
  std::optional<std::int64_t> end_utc_ns;  ///< of the time that is granted; nullopt: no limit
  double poll_interval_s = 0.2;            ///< between two looks at the journals
  double deadline_slack_s = 5.0;           ///< between a rank's own deadline and the controller's
  std::vector<double> expected_step_s;     ///< predicted time of a step, by index in Plan::legs; may be empty
};

/// Where the campaign is, told several times a second.
struct Progress {
  enum class Moment { launched, running, event, ended } moment = Moment::running;
  std::uint32_t launch = 0;  ///< place in the schedule
  std::uint32_t launches = 0;
  std::string leg;
  std::uint32_t round = 0;
  std::uint32_t attempt = 0;
  std::string phase;             ///< of the furthest rank: starting, mpi_init, ..., stepping, ...
  std::uint32_t steps_done = 0;  ///< by every rank, warm-up included
  std::uint32_t steps = 0;
  double steps_per_s = 0.0;      ///< 0: not known yet
  double elapsed_s = 0.0;        ///< of this launch
  std::optional<double> left_s;  ///< of the whole campaign
  std::string stall;             ///< of the step under way, one line; empty when there is none
  std::string outcome;           ///< of a launch that has ended: completed, failed, interrupted
  std::string message;           ///< why it did not complete; what happened, of an event
};
using ProgressCallback = std::function<void(const Progress&)>;

/// Why the campaign came to its end.
enum class Ending {
  finished,     ///< every launch was made; some may have failed, which is data
  interrupted,  ///< a stop signal came: the evidence so far is merged
  out_of_time,  ///< the next launch would not end before the time limit: the same
  bad_input,    ///< a launch was refused for what the user asked: exit code 2
  run_failed,   ///< the machine cannot run it, or the evidence cannot be written: exit code 5
};

/// What is kept back of a time limit for the last merge, the verdict and Slurm's own end of a job.
constexpr double kVerdictReserveS = 30.0;

struct Result {
  Ending ending = Ending::finished;
  std::string message;            ///< one line; empty when finished
  bool evidence_is_whole = true;  ///< run.h5 could be closed: it may be judged
  std::vector<record::LegEndRow> leg_ends;
};

/// Throws InputError when some leg could not be launched with these hosts: a plan refused half-way wastes its
/// first half.
void check_launchable(const plan::Plan& plan, const std::vector<HostSlots>& hostfile);

/// Makes every launch of the schedule and writes run.h5 into `folder` (plan.toml is there before the first
/// launch). In a folder that holds a part of the same campaign already, only the launches that are missing
/// (see Earlier). As long as some are, there is a file `unfinished` in the folder.
///
/// No launch begins that is expected to end later than kVerdictReserveS before Options::end_utc_ns.
/// A launch that fails is made again as the plan's restart policy says: as a further attempt, which has a
/// number of its own behind those of the schedule. When that is over it is data and the next ones still run,
/// unless the cause is bad input, a machine that cannot run it, or a stop signal. Returns when no process of
/// it is left.
///
/// Throws InputError or RunError when it could not begin at all; after that, errors are told by Result.
[[nodiscard]] Result run(const plan::Plan& plan, const Options& options, const ResultsFolder& folder,
                         StopSignals& stop, const ProgressCallback& on_progress);

}  // namespace lockstep::campaign
