#include "harness/campaign/leg_runner.hpp"

#include <algorithm>
#include <array>
#include <span>
#include <utility>

#include <poll.h>

#include "harness/campaign/guarded_process.hpp"
#include "harness/core/clock.hpp"
#include "harness/core/error.hpp"
#include "harness/core/posix.hpp"
#include "harness/core/units.hpp"

namespace lockstep::campaign {
namespace {

constexpr std::int64_t kNsPerMs = 1'000'000;

enum class Wake { timer, ended, stop_signal };

/// Waits until the launch has ended, a stop signal came, or `timeout_ms` passed.
Wake wait_for_news(const GuardedProcess& process, const StopSignals& stop, int timeout_ms) {
  std::array<pollfd, 2> waiting{pollfd{process.end_fd(), POLLIN, 0}, pollfd{stop.fd(), POLLIN, 0}};
  if (::poll(waiting.data(), waiting.size(), timeout_ms) <= 0)
    return Wake::timer;
  if (waiting[1].revents != 0)
    return Wake::stop_signal;
  return Wake::ended;
}

double expected_step_s(const Options& options, const Launch& launch) {
  return launch.leg < options.expected_step_s.size() ? options.expected_step_s[launch.leg] : 0.0;
}

}  // namespace

struct LegRunner::Running {
  Launch launch;
  std::uint32_t launches = 0;
  record::LegRow row;
  std::int64_t begin_ns = 0;
  record::LegMerger merger;
  GuardedProcess process;
  JournalWatch journals;
  LegWatch watch;
  std::optional<ProcessEnd> end;
  std::optional<Diagnosis> overdue;
  bool interrupted = false;
  std::uint32_t steps_done = 0;
  std::uint32_t first_steps = 0;  ///< done when stepping was first seen: the rate counts from there
  std::int64_t first_steps_ns = 0;
  Sight last_sight;
};

LegRunner::LegRunner(const plan::Plan& plan, const Options& options, const ResultsFolder& folder,
                     StopSignals& stop, record::RunFileWriter& writer, TimeLeft& time_left,
                     const ProgressCallback& on_progress)
    : plan_(plan),
      options_(options),
      folder_(folder),
      stop_(stop),
      writer_(writer),
      time_left_(time_left),
      on_progress_(on_progress) {}

LegResult LegRunner::run(const Launch& launch, std::uint32_t launches) {
  Running running = start(launch, launches);
  follow(running);
  return close(running);
}

LegRunner::Running LegRunner::start(const Launch& launch, std::uint32_t launches) {
  const plan::Leg& leg = plan_.legs[launch.leg];
  const std::vector<HostSlots> hosts = hosts_of_leg(plan_, leg, options_.hostfile);
  const record::LegRow row = leg_row(plan_, launch, ranks_of_leg(plan_, leg, hosts), utc_ns());
  folder_.make_journals_folder(row);
  const LaunchPaths paths{.launcher_prefix = options_.launcher_prefix ? options_.launcher_prefix(hosts)
                                                                      : std::vector<std::string>{},
                          .launcher = options_.programs.launcher,
                          .rank_program = options_.programs.rank_program,
                          .plan_file = folder_.plan_file(),
                          .journals_folder = folder_.journals_folder(row),
                          .hosts_file = folder_.hosts_file(row)};
  if (hosts.size() > kMaxListedHosts)
    write_text_file(paths.hosts_file, hosts_file_text(hosts));
  const Command command = mpirun_command(plan_, launch, hosts, paths, options_.surroundings);
  const std::array<record::ProvenanceRow, 1> provenance{record::ProvenanceRow{
      static_cast<std::int32_t>(launch.index), -1, "launch_command", shell_line(command)}};
  record::LegMerger merger(writer_, row, folder_.journals_folder(row));
  writer_.append(provenance);
  const std::int64_t begin_ns = monotonic_ns();
  return Running{
      .launch = launch,
      .launches = launches,
      .row = row,
      .begin_ns = begin_ns,
      .merger = std::move(merger),
      .process = GuardedProcess::start(command, folder_.log_file(row), options_.stop_grace_s),
      .journals = JournalWatch(folder_.journals_folder(row)),
      .watch =
          LegWatch(leg_limits(plan_, expected_step_s(options_, launch), options_.deadline_slack_s), begin_ns),
      .end = {},
      .overdue = {},
      .last_sight = {}};
}

void LegRunner::follow(Running& running) {
  tell(running, Progress::Moment::launched, {});
  const int interval_ms = std::max(1, static_cast<int>(options_.poll_interval_s * 1e3));
  while (!running.end) {
    const Wake wake = wait_for_news(running.process, stop_, interval_ms);
    if (wake == Wake::stop_signal && stop_.stop_requested()) {
      running.interrupted = true;
      running.end = running.process.stop();
      return;
    }
    running.end = running.process.poll_end();
    running.last_sight = running.journals.look();
    running.steps_done = running.merger.poll();
    if (const auto overdue = running.watch.observe(monotonic_ns(), running.last_sight);
        overdue && !running.end) {
      running.overdue = overdue;
      running.end = running.process.stop();
      return;
    }
    tell(running, Progress::Moment::running, running.last_sight);
  }
}

LegResult LegRunner::close(Running& running) {
  if (options_.after_launch)
    options_.after_launch();
  LegResult result;
  result.interrupted = running.interrupted;
  result.seconds = seconds_from_ns(monotonic_ns() - running.begin_ns);
  if (running.interrupted) {
    result.diagnosis = Diagnosis{"interrupted", "the run was stopped by a signal", Consequence::data};
  } else if (running.overdue) {
    result.diagnosis = running.overdue;
  } else {
    const std::string log = read_log_tail(folder_.log_file(running.row));
    result.diagnosis = diagnose({.exit_status = running.end->exit_status,
                                 .log = log,
                                 .log_path = folder_.log_file(running.row),
                                 .leg = running.row.name,
                                 .ranks = running.row.ranks,
                                 .stepped = running.watch.stepped()});
  }
  record::LegEndRow end;
  end.leg = running.row.leg;
  // The merger looks at the evidence: `completed` stays only when every rank's journal is whole, whatever the
  // launcher did.
  end.outcome = running.interrupted ? "interrupted" : "completed";
  end.exit_status = running.end->exit_status;
  end.ended_utc_ns = utc_ns();
  end.message = result.diagnosis ? result.diagnosis->message : "";
  result.end = running.merger.finish(end);
  if (result.diagnosis && result.end.outcome == "failed") {
    record::FailureRow failure;
    failure.leg = running.row.leg;
    failure.kind = result.diagnosis->kind;
    failure.utc_ns = end.ended_utc_ns;
    failure.message = result.diagnosis->message;
    writer_.append(std::span<const record::FailureRow>(&failure, 1));
  }
  writer_.flush();
  time_left_.ended(running.launch, result.seconds);
  Sight sight = running.last_sight;
  if (on_progress_) {
    Progress progress;
    progress.moment = Progress::Moment::ended;
    progress.launch = running.launch.index;
    progress.launches = running.launches;
    progress.leg = running.row.name;
    progress.round = running.row.round;
    progress.phase = record::to_string(sight.furthest);
    progress.steps_done = running.steps_done;
    progress.steps = running.row.steps + running.row.warmup_steps;
    progress.elapsed_s = result.seconds;
    progress.outcome = result.end.outcome;
    progress.message = result.end.message;
    on_progress_(progress);
  }
  return result;
}

void LegRunner::tell(Running& running, Progress::Moment moment, const Sight& sight) {
  if (!on_progress_)
    return;
  const std::int64_t now_ns = monotonic_ns();
  if (running.first_steps_ns == 0 && running.steps_done > 0) {
    running.first_steps_ns = now_ns;
    running.first_steps = running.steps_done;
  }
  Progress progress;
  progress.moment = moment;
  progress.launch = running.launch.index;
  progress.launches = running.launches;
  progress.leg = running.row.name;
  progress.round = running.row.round;
  progress.phase = record::to_string(sight.furthest);
  progress.steps_done = running.steps_done;
  progress.steps = running.row.steps + running.row.warmup_steps;
  if (running.first_steps_ns > 0 && now_ns > running.first_steps_ns) {
    progress.steps_per_s =
        (running.steps_done - running.first_steps) / seconds_from_ns(now_ns - running.first_steps_ns);
  }
  progress.elapsed_s = seconds_from_ns(now_ns - running.begin_ns);
  progress.left_s = time_left_.estimate_s(running.launch.index, progress.elapsed_s, progress.steps_done,
                                          progress.steps, progress.steps_per_s);
  on_progress_(progress);
}

}  // namespace lockstep::campaign
