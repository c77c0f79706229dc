#include "harness/campaign/campaign.hpp"

#include <utility>

#include "harness/campaign/ballast.hpp"
#include "harness/campaign/leg_runner.hpp"
#include "harness/campaign/schedule.hpp"
#include "harness/core/clock.hpp"
#include "harness/core/error.hpp"
#include "harness/core/posix.hpp"
#include "harness/record/provenance.hpp"
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
  write_text_file(folder.plan_file(), plan.text);
  Ballast ballast(folder.path() + "/.reserve", kBallastBytes);
  record::RunFileWriter writer(folder.run_file(), plan.text, format_utc(utc_ns()));
  append_provenance(writer, options);
  const std::vector<Launch> launches = schedule(plan);
  TimeLeft time_left(launches, expected_leg_s(plan, options.expected_step_s));
  LegRunner runner(plan, options, folder, stop, writer, time_left, on_progress);
  Result result;
  try {
    for (const Launch& launch : launches) {
      if (stop.stop_requested()) {
        result.ending = Ending::interrupted;
        break;
      }
      LegResult leg = runner.run(launch, static_cast<std::uint32_t>(launches.size()));
      result.leg_ends.push_back(leg.end);
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
  return result;
}

}  // namespace lockstep::campaign
