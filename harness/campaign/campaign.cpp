#include "harness/campaign/campaign.hpp"

#include <algorithm>
#include <filesystem>
#include <functional>
#include <optional>
#include <utility>

#include <fmt/format.h>
#include <poll.h>

#include "harness/campaign/ballast.hpp"
#include "harness/campaign/leg_runner.hpp"
#include "harness/campaign/recovery.hpp"
#include "harness/campaign/resume.hpp"
#include "harness/campaign/schedule.hpp"
#include "harness/core/clock.hpp"
#include "harness/core/error.hpp"
#include "harness/core/posix.hpp"
#include "harness/core/units.hpp"
#include "harness/record/checkpoint.hpp"
#include "harness/record/provenance.hpp"
#include "harness/record/rewrite.hpp"
#include "harness/record/run_file.hpp"

namespace lockstep::campaign {
namespace {

// More than the tables of a run file hold back in memory: a chunk each, and the metadata.
constexpr std::size_t kBallastBytes = std::size_t{8} << 20U;

void append_provenance(record::RunFileWriter& writer, const Options& options) {
  const auto fact = [](std::string key, std::string value) {
    return record::ProvenanceRow{-1, -1, std::move(key), std::move(value)};
  };
  std::vector<record::ProvenanceRow> rows = record::machine_provenance(-1, -1);
  rows.push_back(fact("controller_host", short_host_name()));
  rows.push_back(fact("launcher", options.programs.launcher));
  rows.push_back(fact("rank_program", options.programs.rank_program));
  for (const auto& [key, value] : options.provenance)
    rows.push_back(fact(key, value));
  writer.append(rows);
}

std::vector<double> expected_leg_s(const plan::Plan& plan, const std::vector<double>& expected_step_s) {
  std::vector<double> seconds;
  seconds.reserve(expected_step_s.size());
  for (const double step_s : expected_step_s)
    seconds.push_back(step_s * (plan.run.steps + plan.run.warmup_steps));
  return seconds;
}

/// False when not even that is possible.
bool close_quietly(record::RunFileWriter& writer) {
  try {
    writer.close();
    return true;
  } catch (const RunError&) {
    return false;
  }
}

/// The run file of a new campaign, or of one that goes on.
record::RunFileWriter begin_run_file(const plan::Plan& plan, const Options& options,
                                     const ResultsFolder& folder, const std::optional<Earlier>& earlier) {
  if (earlier)
    return resume_run_file(folder, plan, *earlier, utc_ns());
  record::RunFileWriter writer(folder.run_file(), plan.text, format_utc(utc_ns()));
  append_provenance(writer, options);
  return writer;
}

void take_in_earlier(TimeLeft& time_left, const std::vector<Launch>& launches, const Earlier& earlier) {
  for (const record::LegRow& row : earlier.evidence.legs) {
    for (const record::LegEndRow& end : earlier.evidence.leg_ends) {
      if (end.leg == row.leg && row.leg < launches.size())
        time_left.ended(launches[row.leg], seconds_from_ns(end.ended_utc_ns - row.launched_utc_ns));
    }
  }
}

std::string why_no_time(const plan::Plan& plan, const Launch& launch, const Options& options,
                        const TimeLeft& time_left) {
  const auto expected_s = time_left.cautious_launch_s(launch.leg);
  if (!options.end_utc_ns || !expected_s)
    return {};
  const double left_s = seconds_from_ns(*options.end_utc_ns - utc_ns());
  if (*expected_s + kVerdictReserveS <= left_s)
    return {};
  return fmt::format("the time limit leaves {} and the next launch ({}, round {}) takes about {}",
                     format_seconds(std::max(0.0, left_s)), plan.legs[launch.leg].name, launch.round + 1,
                     format_seconds(*expected_s));
}

/// Waits, but not longer than until a stop signal comes. False when one came.
bool wait_before_restart(StopSignals& stop, double seconds) {
  pollfd waiting{stop.fd(), POLLIN, 0};
  const std::int64_t end_ns = monotonic_ns() + ns_from_seconds(seconds);
  for (std::int64_t left_ns = ns_from_seconds(seconds); left_ns > 0; left_ns = end_ns - monotonic_ns()) {
    constexpr std::int64_t kNsPerMs = 1'000'000;
    constexpr std::int64_t kMostMs = 60'000;
    if (::poll(&waiting, 1, static_cast<int>(std::min(kMostMs, left_ns / kNsPerMs + 1))) > 0)
      return false;
  }
  return !stop.stop_requested();
}

/// Why a launch must not begin any more; empty when it may.
using LackOfTime = std::function<std::string(const Launch&)>;

/// A launch of the schedule with all the attempts that follow from it.
class Attempts {
 public:
  Attempts(const plan::Plan& plan, const Options& options, const ResultsFolder& folder, StopSignals& stop,
           LegRunner& runner, LackOfTime lack_of_time)
      : plan_(plan),
        options_(options),
        folder_(folder),
        stop_(stop),
        runner_(runner),
        lack_of_time_(std::move(lack_of_time)) {}

  /// Ends of all attempts, in order, go to `ends`; `next_index` is raised by every further attempt.
  LegResult run(Launch launch, std::uint32_t launches, std::uint32_t& next_index,
                std::vector<record::LegEndRow>& ends) {
    const plan::Leg& leg = plan_.legs[launch.leg];
    Recovery recovery(plan_, leg, hosts_of_leg(plan_, leg, options_.hostfile));
    Drills drills(plan_, leg.name, launch.round);
    const std::string checkpoints = checkpoints_folder(leg_row(plan_, launch, 0));
    // What an earlier part of the run left there is of steps that are made again.
    std::error_code error;
    std::filesystem::remove_all(checkpoints, error);
    LegResult result;
    const DecideRestart decide = [&](const LegResult& failed) {
      // That it could be launched before says that plan and machine are not to blame.
      if (launch.attempt == 0 && failed.diagnosis && failed.diagnosis->consequence != Consequence::data)
        return RestartDecision{.restarts = false, .wait_s = 0.0, .detail = "it could not be launched at all"};
      if (std::string obstacle = lack_of_time_(launch); !obstacle.empty())
        return RestartDecision{.restarts = false, .wait_s = 0.0, .detail = std::move(obstacle)};
      return recovery.after_failure(failed.failed_hosts);
    };
    for (;;) {
      launch.rank_drills = drills.of_ranks();
      launch.ranks_per_site = recovery.ranks_per_site();
      result = runner_.run(launch, launches, recovery.hosts(), drills, decide);
      ends.push_back(result.end);
      if (launch.attempt > 0 && result.diagnosis)
        result.diagnosis->consequence = Consequence::data;
      if (!result.decision)
        break;
      launch.first_step = saved_steps(checkpoints);
      tell(launch, *result.decision);
      if (!result.decision->restarts)
        break;
      if (!wait_before_restart(stop_, result.decision->wait_s)) {
        result.interrupted = true;
        break;
      }
      launch.index = next_index++;
      ++launch.attempt;
    }
    for (const record::DrillRow& row : drills.take_back_all(options_.make_fault, utc_ns()))
      runner_.record(row);
    std::filesystem::remove_all(checkpoints, error);  // a leg that is made again begins anew
    return result;
  }

 private:
  /// Where the ranks save them: see the plan's key recovery.checkpoint_folder.
  [[nodiscard]] std::string checkpoints_folder(const record::LegRow& row) const {
    const std::string& chosen = plan_.recovery.checkpoint_folder;
    return (chosen.empty() ? folder_.path() : chosen) + "/" + record::checkpoint_folder_name(row);
  }

  /// Training steps in the newest checkpoint, of which some have to be left.
  [[nodiscard]] std::uint32_t saved_steps(const std::string& checkpoints) const {
    const auto newest = record::latest_checkpoint(checkpoints);
    return newest && newest->step < plan_.run.warmup_steps + plan_.run.steps ? newest->step : 0;
  }

  void tell(const Launch& launch, const RestartDecision& decision) {
    if (plan_.recovery.policy == plan::RestartPolicy::stop)
      return;
    const std::string leg = fmt::format("leg {}, round {}", plan_.legs[launch.leg].name, launch.round + 1);
    runner_.note("restart", static_cast<std::int32_t>(launch.index),
                 decision.restarts
                     ? fmt::format("{}: attempt {} goes on from step {} {}, in {}", leg, launch.attempt + 2,
                                   launch.first_step, decision.detail, format_seconds(decision.wait_s))
                     : fmt::format("{}: no further attempt ({})", leg, decision.detail));
  }

  const plan::Plan& plan_;
  const Options& options_;
  const ResultsFolder& folder_;
  StopSignals& stop_;
  LegRunner& runner_;
  LackOfTime lack_of_time_;
};

/// Numbers of further attempts lie behind those of the schedule and of everything that an earlier part
/// launched.
std::uint32_t first_free_index(const std::vector<Launch>& launches, const std::optional<Earlier>& earlier) {
  auto index = static_cast<std::uint32_t>(launches.size());
  if (earlier) {
    for (const record::LegRow& row : earlier->evidence.legs)
      index = std::max(index, row.leg + 1);
    for (const record::LegRow& row : earlier->cut_short)
      index = std::max(index, row.leg + 1);
  }
  return index;
}

Ending ending_of(Consequence consequence) {
  switch (consequence) {
    case Consequence::bad_input:
      return Ending::bad_input;
    case Consequence::run_failed:
      return Ending::run_failed;
    case Consequence::data:
      break;
  }
  return Ending::finished;
}

}  // namespace

void check_launchable(const plan::Plan& plan, const std::vector<HostSlots>& hostfile) {
  for (const plan::Leg& leg : plan.legs)
    static_cast<void>(ranks_of_leg(plan, leg, hosts_of_leg(plan, leg, hostfile)));
}

Result run(const plan::Plan& plan, const Options& options, const ResultsFolder& folder, StopSignals& stop,
           const ProgressCallback& on_progress) {
  check_launchable(plan, options.hostfile);
  const std::vector<Launch> launches = schedule(plan);
  const std::optional<Earlier> earlier = read_earlier(folder, plan, launches);
  write_text_file(folder.plan_file(), plan.text);
  write_text_file(folder.unfinished_file(), "launches are missing; lockstep certify --resume makes them\n");
  Ballast ballast(folder.path() + "/.reserve", kBallastBytes);
  record::RunFileWriter writer = begin_run_file(plan, options, folder, earlier);
  TimeLeft time_left(launches, expected_leg_s(plan, options.expected_step_s));
  if (earlier)
    take_in_earlier(time_left, launches, *earlier);
  LegRunner runner(plan, options, folder, stop, writer, time_left, on_progress,
                   earlier ? record::next_incident(earlier->evidence.incidents) : 0U);
  const LackOfTime lack_of_time = [&](const Launch& launch) {
    return why_no_time(plan, launch, options, time_left);
  };
  Attempts attempts(plan, options, folder, stop, runner, lack_of_time);
  std::uint32_t next_index = first_free_index(launches, earlier);
  Result result;
  try {
    for (const Launch& launch : launches) {
      if (earlier && earlier->kept.contains(launch.index))
        continue;
      if (stop.stop_requested()) {
        result.ending = Ending::interrupted;
        break;
      }
      result.message = lack_of_time(launch);
      if (!result.message.empty()) {
        result.ending = Ending::out_of_time;
        break;
      }
      const LegResult leg =
          attempts.run(launch, static_cast<std::uint32_t>(launches.size()), next_index, result.leg_ends);
      if (leg.interrupted) {
        result.ending = Ending::interrupted;
        break;
      }
      if (leg.diagnosis && leg.diagnosis->consequence != Consequence::data) {
        result.ending = ending_of(leg.diagnosis->consequence);
        result.message = leg.diagnosis->message;
        break;
      }
    }
    writer.close();
  } catch (const RunError& error) {
    // The disk is full, or a process could not be started. What was flushed stays readable, and the journals
    // are there.
    result.ending = Ending::run_failed;
    result.message = error.problem().one_line();
    ballast.drop();
    result.evidence_is_whole = close_quietly(writer);
  }
  if (result.ending == Ending::interrupted)
    result.message = "stopped by a signal; the evidence so far is kept";
  if (result.ending == Ending::out_of_time)
    result.message += "; the evidence so far is kept";
  if (result.ending == Ending::finished)
    std::filesystem::remove(folder.unfinished_file());
  return result;
}

}  // namespace lockstep::campaign
