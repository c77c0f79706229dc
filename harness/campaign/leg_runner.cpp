#include "harness/campaign/leg_runner.hpp"

#include <algorithm>
#include <array>
#include <span>
#include <utility>

#include <fmt/format.h>
#include <poll.h>

#include "harness/campaign/guarded_process.hpp"
#include "harness/campaign/process_watch.hpp"
#include "harness/campaign/stall_watch.hpp"
#include "harness/core/clock.hpp"
#include "harness/core/error.hpp"
#include "harness/core/posix.hpp"
#include "harness/core/units.hpp"
#include "harness/watch/analysis.hpp"
#include "harness/watch/incidents.hpp"

namespace lockstep::campaign {
namespace {

constexpr std::int64_t kNsPerMs = 1'000'000;
/// Three signs of life of a supervisor.
constexpr std::int64_t kListenNs = 1'600 * kNsPerMs;
constexpr std::int64_t kListenEveryNs = 20 * kNsPerMs;
constexpr double kSureEnough = 0.75;
/// Whom a stalled step waits for is read from the journals of many ranks: not at every look.
constexpr std::int64_t kLookAgainNs = 1'000 * kNsPerMs;

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
  std::int64_t stop_by_ns = 0;  ///< 0: nobody has asked to stop
  std::uint32_t steps_done = 0;
  std::uint32_t first_steps = 0;  ///< done when stepping was first seen: the rate counts from there
  std::int64_t first_steps_ns = 0;
  Sight last_sight;
  Drills* drills = nullptr;
  const DecideRestart* decide = nullptr;
  StallWatch stalls;
  ProcessWatch processes;
  std::int64_t ended_by_us_utc_ns = 0;  ///< 0: the launch ended by itself
  std::string stall;
  bool stall_told = false;
  std::string held_up_by{};        ///< in the stall under way
  std::int64_t held_up_at_ns = 0;  ///< when that was looked up
};

LegRunner::LegRunner(const plan::Plan& plan, const Options& options, const ResultsFolder& folder,
                     StopSignals& stop, record::RunFileWriter& writer, TimeLeft& time_left,
                     const ProgressCallback& on_progress, std::uint32_t first_incident)
    : plan_(plan),
      options_(options),
      folder_(folder),
      stop_(stop),
      writer_(writer),
      time_left_(time_left),
      on_progress_(on_progress),
      next_incident_(first_incident) {}

LegResult LegRunner::run(Launch launch, std::uint32_t launches, const std::vector<HostSlots>& hosts,
                         Drills& drills, const DecideRestart& decide) {
  launch.launched_utc_ns = utc_ns();
  Running running = start(launch, launches, hosts);
  running.drills = &drills;
  running.decide = &decide;
  follow(running);
  drills.note_progress(launch.first_step + running.watch.most_steps());
  return close(running);
}

void LegRunner::note(const std::string& kind, std::int32_t leg, const std::string& message) {
  const record::EventRow row{utc_ns(), leg, kind, message};
  writer_.append(std::span<const record::EventRow>(&row, 1));
  writer_.flush();
  if (!on_progress_)
    return;
  Progress progress;
  progress.moment = Progress::Moment::event;
  progress.message = message;
  on_progress_(progress);
}

LegRunner::Running LegRunner::start(const Launch& launch, std::uint32_t launches,
                                    const std::vector<HostSlots>& hosts) {
  const plan::Leg& leg = plan_.legs[launch.leg];
  const record::LegRow row = leg_row(plan_, launch, ranks_of_leg(plan_, leg, hosts));
  folder_.make_journals_folder(row);
  const LaunchPaths paths{.launcher_prefix = options_.launcher_prefix ? options_.launcher_prefix(hosts)
                                                                      : std::vector<std::string>{},
                          .launcher = options_.programs.launcher,
                          .rank_program = options_.programs.rank_program,
                          .plan_file = folder_.plan_file(),
                          .journals_folder = folder_.journals_folder(row),
                          .hosts_file = folder_.hosts_file(row)};
  if (const std::string text = hosts_file_text(paths.launcher, hosts); !text.empty())
    write_text_file(paths.hosts_file, text);
  const Command command = launch_command(plan_, launch, hosts, paths, options_.surroundings);
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
      .last_sight = {},
      .stalls = StallWatch(options_.poll_interval_s),
      .processes = ProcessWatch(folder_.journals_folder(row)),
      .stall = {}};
}

void LegRunner::follow(Running& running) {
  tell(running, Progress::Moment::launched, {});
  const int interval_ms = std::max(1, static_cast<int>(options_.poll_interval_s * 1e3));
  while (!running.end) {
    const Wake wake = wait_for_news(running.process, stop_, interval_ms);
    if (wake == Wake::stop_signal)
      ask_to_stop(running);
    if (stop_.wish() == StopWish::at_once ||
        (running.stop_by_ns > 0 && monotonic_ns() >= running.stop_by_ns)) {
      running.ended_by_us_utc_ns = utc_ns();
      running.end = running.process.stop();
      return;
    }
    running.end = running.process.poll_end();
    running.last_sight = running.journals.look();
    watch_processes(running);
    running.steps_done = running.merger.poll();
    watch_stalls(running);
    make_faults(running);
    if (const auto overdue = running.watch.observe(monotonic_ns(), running.last_sight);
        overdue && !running.end) {
      running.overdue = overdue;
      running.ended_by_us_utc_ns = utc_ns();
      running.end = running.process.stop();
      return;
    }
    tell(running, Progress::Moment::running, running.last_sight);
  }
}

void LegRunner::watch_stalls(Running& running) {
  for (const double step_s : running.last_sight.new_steps_s)
    running.stalls.take(step_s);
  const auto leg = static_cast<std::int32_t>(running.row.leg);
  std::optional<LiveStall> stall;
  if (running.last_sight.furthest == record::RankPhase::stepping)
    stall = running.stalls.observe(monotonic_ns(), running.steps_done);
  else
    running.stalls.end(monotonic_ns());
  running.stall.clear();
  if (stall) {
    running.stall =
        fmt::format("step {} has taken {} so far, usually {}", stall->step,
                    format_seconds(seconds_from_ns(stall->length_ns)), format_seconds(stall->usual_s));
    const std::int64_t now_ns = monotonic_ns();
    if (!running.stall_told || now_ns - running.held_up_at_ns >= kLookAgainNs) {
      running.held_up_by = running.journals.who_holds_up(stall->step);
      running.held_up_at_ns = now_ns;
    }
    if (!running.held_up_by.empty())
      running.stall += ": " + running.held_up_by;
    if (!std::exchange(running.stall_told, true))
      note("stall_begin", leg,
           fmt::format("leg {}, round {}: {}", running.row.name, running.row.round + 1, running.stall));
  }
  if (const auto ended = running.stalls.take_ended()) {
    running.stall_told = false;
    note("stall_end", leg,
         fmt::format("leg {}, round {}: step {} took about {}, usually {}", running.row.name,
                     running.row.round + 1, ended->step, format_seconds(seconds_from_ns(ended->length_ns)),
                     format_seconds(ended->usual_s)));
  }
}

void LegRunner::watch_processes(Running& running) {
  running.processes.look(utc_ns());
  // Once the controller itself ends the launch, deaths are no news.
  for (const std::string& news : running.processes.take_news()) {
    if (running.ended_by_us_utc_ns == 0)
      note("process", static_cast<std::int32_t>(running.row.leg),
           fmt::format("leg {}, round {}: {}", running.row.name, running.row.round + 1, news));
  }
}

void LegRunner::make_faults(Running& running) {
  const std::uint32_t first = running.launch.first_step;
  const std::uint32_t training_steps = first + running.watch.most_steps();
  if (!running.watch.stepped())
    return;
  const std::vector<record::DrillRow> rows = running.drills->act(
      options_.make_fault, running.row.leg, training_steps, first, monotonic_ns(), utc_ns());
  for (const record::DrillRow& row : rows)
    record(row);
}

void LegRunner::record(const record::DrillRow& row) {
  writer_.append(std::span<const record::DrillRow>(&row, 1));
  note("drill", static_cast<std::int32_t>(row.leg),
       fmt::format("drill {}: {} of {} {} ({})", row.drill, row.kind, row.target,
                   row.end_utc_ns == 0 ? "made" : "taken back", row.how));
}

void LegRunner::ask_to_stop(Running& running) {
  const StopWish wish = stop_.wish();
  if (wish == StopWish::none || wish == StopWish::at_once)
    return;
  const double patience_s = wish == StopWish::soon ? options_.soon_patience_s : options_.promptly_patience_s;
  const std::int64_t by_ns = monotonic_ns() + static_cast<std::int64_t>(patience_s * kNsPerS);
  running.stop_by_ns = running.stop_by_ns == 0 ? by_ns : std::min(running.stop_by_ns, by_ns);
  running.process.ask_to_stop();
}

/// A launcher that ends with an error may leave processes behind, or hosts that are lost. Which of them still
/// live has to be heard before they are cleared away.
void LegRunner::listen(Running& running) {
  static_cast<void>(running.merger.poll());
  if (running.merger.is_whole() || stop_.stop_requested())
    return;
  running.processes.listen();
  const std::int64_t until_ns = monotonic_ns() + kListenNs;
  do {
    sleep_until_ns(monotonic_ns() + kListenEveryNs);
    running.processes.look(utc_ns());
  } while (!running.processes.everybody_is_heard() && monotonic_ns() < until_ns);
}

LegResult LegRunner::close(Running& running) {
  listen(running);
  if (options_.after_launch)
    options_.after_launch();
  LegResult result;
  // A launch that was through all the same is whole evidence. One whose processes got the signal themselves,
  // as Slurm sends it to all of a job, ended because of it too.
  static_cast<void>(running.merger.poll());
  result.interrupted = stop_.stop_requested() && !running.merger.is_whole();
  result.seconds = seconds_from_ns(monotonic_ns() - running.begin_ns);
  if (result.interrupted) {
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
  end.outcome = result.interrupted ? "interrupted" : "completed";
  end.exit_status = running.end->exit_status;
  end.ended_utc_ns = utc_ns();
  end.message = result.diagnosis ? result.diagnosis->message : "";
  result.end = running.merger.finish(
      end, [&](const record::Evidence& launch) { return conclude(running, launch, result); });
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
    progress.launch = running.launch.position;
    progress.attempt = running.launch.attempt;
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

record::Conclusions LegRunner::conclude(Running& running, const record::Evidence& launch, LegResult& result) {
  watch_processes(running);
  watch::LaunchFacts facts;
  facts.exit_status = running.end->exit_status;
  facts.ranks = running.processes.ends(launch.ranks, running.ended_by_us_utc_ns);
  // Slurm ends a job step by killing everything in it, supervisors too: then silence alone says nothing.
  const bool silence_tells = launcher_kind(options_.programs.launcher) != LauncherKind::srun ||
                             (result.diagnosis && result.diagnosis->kind == "host_lost");
  if (silence_tells && !launch.leg_ends.empty() && launch.leg_ends.front().outcome == "failed")
    facts.lost_hosts = running.processes.silent_hosts(launch.ranks);
  if (running.overdue)
    facts.overdue_phase = record::to_string(running.last_sight.furthest);
  facts.interrupted = result.interrupted;
  facts.detected_utc_ns = running.processes.first_trouble_utc_ns() > 0
                              ? running.processes.first_trouble_utc_ns()
                              : running.ended_by_us_utc_ns;
  record::Conclusions conclusions = watch::analyse_launch(launch, running.row.leg, facts);
  for (const record::IncidentRow& incident : conclusions.incidents) {
    // What a program's own fault may have brought about does not cost a host.
    if (incident.kind == "device_error" && incident.confidence < kSureEnough)
      continue;
    const std::set<std::string> hosts = hosts_to_blame(incident, launch.ranks);
    result.failed_hosts.insert(hosts.begin(), hosts.end());
  }
  const bool failed = !launch.leg_ends.empty() && launch.leg_ends.front().outcome == "failed";
  if (failed && !result.interrupted)
    result.decision = (*running.decide)(result);
  for (record::IncidentRow& incident : conclusions.incidents) {
    incident.incident = next_incident_++;
    // What ended the launch comes first; wrong data and errors of devices alone end none.
    const bool ended_it = !watch::spoils_only(incident.kind) ||
                          (incident.kind == "device_error" && &incident == &conclusions.incidents.front());
    if (result.decision && ended_it) {
      incident.recovery =
          plan::to_string(result.decision->restarts ? plan_.recovery.policy : plan::RestartPolicy::stop);
      incident.recovery_detail = result.decision->detail;
    }
    note("incident", static_cast<std::int32_t>(running.row.leg),
         fmt::format("incident {}: {}", incident.incident,
                     incident.story.empty() ? incident.cause : incident.story));
  }
  return conclusions;
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
  progress.launch = running.launch.position;
  progress.attempt = running.launch.attempt;
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
  progress.stall = running.stall;
  progress.left_s = time_left_.estimate_s(running.launch.position, progress.elapsed_s, progress.steps_done,
                                          progress.steps, progress.steps_per_s);
  on_progress_(progress);
}

}  // namespace lockstep::campaign
