#include "harness/campaign/survey.hpp"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <random>

#include <fmt/format.h>

#include "harness/campaign/diagnosis.hpp"
#include "harness/campaign/guarded_process.hpp"
#include "harness/campaign/results_folder.hpp"
#include "harness/campaign/survey_schedule.hpp"
#include "harness/core/clock.hpp"
#include "harness/core/error.hpp"
#include "harness/core/units.hpp"

namespace lockstep::campaign {
namespace {

constexpr std::size_t kMostStarting = 16;  // launchers that are on their way at a time
constexpr std::int64_t kLookNs = 10'000'000;
constexpr std::uint32_t kExchanges = 100;
constexpr std::uint32_t kExchangesBack = 20;  // the way back shows the same round trip once more
constexpr std::uint32_t kDatagrams = 400;
constexpr std::uint32_t kManyStreams = 4;
// What one pair takes at most: the connection 4 s, round trips 10 s, datagrams 1 s and five answers of 5 s,
// sizes 10 s; and what streams take beyond their time: three connections and the drain.
constexpr double kPathDeadlineS = 60.0;
constexpr double kStreamSpareS = 40.0;
constexpr double kEndS = 3.0;

/// mpirun takes one --bind-to or --map-by.
bool names_mapping(const std::vector<std::string>& arguments) {
  return std::any_of(arguments.begin(), arguments.end(), [](const std::string& argument) {
    return argument.ends_with("-bind-to") || argument.ends_with("-map-by");
  });
}

std::uint64_t random_token() {
  std::random_device device;
  return (static_cast<std::uint64_t>(device()) << 32) | device();
}

/// A host with its launcher, from start to end.
struct RunningProbe {
  std::optional<GuardedProcess> process;
  std::optional<LineReader> answers;
  std::int64_t deadline_ns = 0;  ///< for its introduction
  bool lost = false;
};

class SurveyRun {
 public:
  SurveyRun(const plan::Plan& plan, const SurveyOptions& options, const SurveyFiles& files, StopSignals& stop,
            const SurveyNews& news)
      : plan_(plan), options_(options), files_(files), stop_(stop), news_(news) {
    survey_.hosts = hosts_of_plan(plan, options.hostfile);
    probes_.resize(survey_.hosts.size());
  }

  Survey run() {
    begin();
    introduce();
    tell_peers();
    measure_paths();
    measure_streams();
    end();
    return std::move(survey_);
  }

 private:
  void order(SurveyOrder order) {
    order.number = ++orders_;
    append_line(files_.orders(), to_line(order));
  }

  void begin() {
    token_ = random_token();
    SurveyOrder order_begin;
    order_begin.kind = SurveyOrder::Kind::begin;
    order_begin.begin.token = token_;
    for (const SurveyedHost& host : survey_.hosts)
      order_begin.begin.hosts.push_back(host.name);
    order_begin.begin.launcher = options_.programs.launcher;
    order_begin.begin.rank_program = options_.programs.rank_program;
    // Far more than it takes: only for a probe that nobody can reach any more.
    const auto hosts = static_cast<double>(survey_.hosts.size());
    const auto sites = static_cast<double>(plan_.sites.size());
    order_begin.begin.lifetime_s = 600.0 + hosts * (plan_.deadlines.launch_s + 2.0 * kPathDeadlineS) +
                                   4.0 * sites * sites * (options_.seconds + kStreamSpareS);
    order(std::move(order_begin));
  }

  void start(std::uint32_t i) {
    const HostSlots host{survey_.hosts[i].name, survey_.hosts[i].slots};
    RunningProbe& probe = probes_[i];
    probe.process.emplace(
        GuardedProcess::start(probe_command(plan_, host, i, files_.folder, options_), files_.log(i)));
    probe.answers.emplace(files_.answers(i));
    probe.deadline_ns = monotonic_ns() + ns_from_seconds(plan_.deadlines.launch_s);
  }

  /// Starts every probe and takes what each host says of itself.
  void introduce() {
    news_(fmt::format("starting a probe on each of {} hosts", survey_.hosts.size()));
    std::uint32_t next = 0;
    std::size_t starting = 0;
    while (next < probes_.size() || starting > 0) {
      while (next < probes_.size() && starting < kMostStarting) {
        start(next++);
        ++starting;
      }
      pause();
      for (std::uint32_t i = 0; i < next; ++i) {
        if (survey_.hosts[i].facts || probes_[i].lost)
          continue;
        listen(i, 0);
        if (!survey_.hosts[i].facts && monotonic_ns() >= probes_[i].deadline_ns) {
          lose(i, fmt::format("no answer within {} of its start (deadlines.launch_s); its log: {}",
                              format_seconds(plan_.deadlines.launch_s), files_.log(i)));
        }
        if (survey_.hosts[i].facts || probes_[i].lost)
          --starting;
      }
    }
  }

  void tell_peers() {
    std::map<std::string, std::string> mca = plan_.mpi.mca;
    mca.insert(options_.surroundings.mca.begin(), options_.surroundings.mca.end());
    SurveyOrder peers;
    peers.kind = SurveyOrder::Kind::peers;
    for (std::uint32_t i = 0; i < survey_.hosts.size(); ++i) {
      watch::Peer& peer = peers.peers.emplace_back();
      peer.token = token_;
      peer.place = i;
      if (const auto& facts = survey_.hosts[i].facts) {
        peer.addresses = transport_addresses(facts->addresses, mca);
        peer.tcp_port = facts->tcp_port;
        peer.udp_port = facts->udp_port;
      }
    }
    order(std::move(peers));
  }

  void measure_paths() {
    const auto rounds = rounds_of_pairs(distinct_hosts(survey_));
    std::size_t done = 0;
    for (const auto& pairs : rounds) {
      news_(fmt::format("paths between hosts: round {} of {}", ++done, rounds.size()));
      for (const bool back : {false, true}) {
        SurveyOrder paths;
        paths.kind = SurveyOrder::Kind::paths;
        paths.pairs = back ? reversed(pairs) : pairs;
        paths.exchanges = back ? kExchangesBack : kExchanges;
        paths.datagrams = kDatagrams;
        carry_out(std::move(paths), kPathDeadlineS);
      }
    }
  }

  void measure_streams() {
    for (const PathPair& pair : bandwidth_pairs(survey_, options_.inside_sites)) {
      news_(fmt::format("bandwidth between {} and {}", survey_.hosts[pair.from].name,
                        survey_.hosts[pair.to].name));
      for (const PathPair& way : {pair, reversed({pair}).front()}) {
        for (const std::uint32_t streams : {1U, kManyStreams}) {
          SurveyOrder one;
          one.kind = SurveyOrder::Kind::streams;
          one.pairs = {way};
          one.streams = streams;
          one.seconds = options_.seconds;
          carry_out(std::move(one), options_.seconds + kStreamSpareS);
        }
      }
    }
  }

  /// Gives an order and waits until everyone in it has answered, is lost, or is overdue.
  void carry_out(SurveyOrder what, double deadline_s) {
    std::erase_if(what.pairs,
                  [this](const PathPair& pair) { return probes_[pair.from].lost || probes_[pair.to].lost; });
    if (what.pairs.empty())
      return;
    const std::vector<PathPair> pairs = what.pairs;
    order(std::move(what));
    const std::uint32_t number = orders_;
    const std::int64_t deadline_ns = monotonic_ns() + ns_from_seconds(deadline_s);
    const auto waits_for = [&](const PathPair& pair) {
      return !probes_[pair.from].lost && answered_[pair.from] < number;
    };
    while (std::any_of(pairs.begin(), pairs.end(), waits_for)) {
      pause();
      for (const PathPair& pair : pairs) {
        if (!waits_for(pair))
          continue;
        listen(pair.from, number);
        if (waits_for(pair) && monotonic_ns() >= deadline_ns)
          lose(pair.from, "its probe stopped answering in the middle of the survey");
      }
    }
  }

  /// Takes what a probe wrote; `number` is the order that it has to answer, 0 for its introduction. Its
  /// launcher's end is asked for first and counts last: what was written before it is good.
  void listen(std::uint32_t i, std::uint32_t number) {
    RunningProbe& probe = probes_[i];
    const auto end = probe.process->poll_end();
    for (const std::string& line : probe.answers->poll()) {
      ProbeAnswer answer = answer_of(line);
      answered_[i] = std::max(answered_[i], answer.number);
      if (answer.facts)
        survey_.hosts[i].facts = std::move(answer.facts);
      if (answer.path)
        survey_.paths.push_back(std::move(*answer.path));
      if (answer.stream)
        survey_.streams.push_back(std::move(*answer.stream));
    }
    const bool has_answered = number == 0 ? survey_.hosts[i].facts.has_value() : answered_[i] >= number;
    if (end && !has_answered)
      lose(i, end_text(i, *end));
  }

  [[nodiscard]] std::string end_text(std::uint32_t i, const ProcessEnd& end) const {
    const std::string log = read_log_tail(files_.log(i));
    if (std::string error = last_error_line(log); !error.empty())
      return error;
    const auto diagnosis = diagnose({.exit_status = end.exit_status,
                                     .log = log,
                                     .log_path = files_.log(i),
                                     .leg = "of the survey",
                                     .ranks = 1,
                                     .stepped = false});
    return diagnosis ? diagnosis->message : "its probe ended early; its log: " + files_.log(i);
  }

  void lose(std::uint32_t i, std::string trouble) {
    probes_[i].lost = true;
    survey_.hosts[i].trouble = std::move(trouble);
    probes_[i].process->stop();
  }

  void pause() {
    if (stop_.stop_requested()) {
      throw RunError({.what = "the survey was stopped by a signal",
                      .why = {},
                      .suggestion = "what was measured so far is in " + files_.folder,
                      .file = {}});
    }
    sleep_until_ns(monotonic_ns() + kLookNs);
  }

  void end() {
    SurveyOrder last;
    last.kind = SurveyOrder::Kind::end;
    order(std::move(last));
    const std::int64_t deadline_ns = monotonic_ns() + ns_from_seconds(kEndS);
    const auto runs = [](RunningProbe& probe) { return probe.process && !probe.process->poll_end(); };
    while (monotonic_ns() < deadline_ns && std::any_of(probes_.begin(), probes_.end(), runs))
      pause();
    probes_.clear();
  }

  const plan::Plan& plan_;
  const SurveyOptions& options_;
  const SurveyFiles& files_;
  StopSignals& stop_;
  const SurveyNews& news_;
  Survey survey_;
  std::vector<RunningProbe> probes_;
  std::map<std::uint32_t, std::uint32_t> answered_;  // the last order that each host answered
  std::uint32_t orders_ = 0;
  std::uint64_t token_ = 0;
};

}  // namespace

Command probe_command(const plan::Plan& plan, const HostSlots& host, std::uint32_t index,
                      const std::string& folder, const SurveyOptions& options) {
  Command command;
  if (options.launcher_prefix)
    command.argv = options.launcher_prefix({host});
  const auto add = [&command](std::initializer_list<std::string> words) {
    command.argv.insert(command.argv.end(), words);
  };
  add({options.programs.launcher, "-np", "1", "--host", host.host + ":1"});
  const auto& own = plan.mpi.mpirun_args;
  if (!names_mapping(own))
    add({"--bind-to", "none"});
  std::map<std::string, std::string> mca = plan.mpi.mca;
  mca.insert(options.surroundings.mca.begin(), options.surroundings.mca.end());
  for (const auto& [key, value] : mca)
    add({"--mca", key, value});
  command.argv.insert(command.argv.end(), own.begin(), own.end());
  add({options.probe_program, "probe", "--folder", folder, "--index", std::to_string(index)});
  if (options.surroundings.is_root)
    command.environment = {{"OMPI_ALLOW_RUN_AS_ROOT", "1"}, {"OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"}};
  return command;
}

std::vector<SurveyedHost> hosts_of_plan(const plan::Plan& plan, const std::vector<HostSlots>& hostfile) {
  std::vector<SurveyedHost> hosts;
  for (std::uint32_t i = 0; i < plan.sites.size(); ++i) {
    plan::Leg alone;
    alone.sites = {SiteId(i)};
    for (HostSlots& host : hosts_of_leg(plan, alone, hostfile)) {
      SurveyedHost& added = hosts.emplace_back();
      added.name = std::move(host.host);
      added.site = SiteId(i);
      added.slots = host.slots;
    }
  }
  return hosts;
}

Survey survey_of_one_machine(const plan::Plan& plan, const HostFacts& facts) {
  Survey survey;
  for (std::uint32_t i = 0; i < plan.sites.size(); ++i) {
    SurveyedHost& host = survey.hosts.emplace_back();
    host.name = facts.host_name;
    host.site = SiteId(i);
    host.slots = plan.sites[i].slots;
    host.facts = facts;
  }
  return survey;
}

SurveyFiles make_survey_files(const ResultsFolder& folder, std::size_t hosts) {
  SurveyFiles files{folder.path()};
  std::error_code error;
  std::filesystem::create_directories(files.folder + "/answers", error);
  if (error) {
    throw RunError({.what = "cannot make the folder " + files.folder + "/answers",
                    .why = error.message(),
                    .suggestion = {},
                    .file = {}});
  }
  write_text_file(files.orders(), "");
  for (std::uint32_t i = 0; i < hosts; ++i)
    write_text_file(files.answers(i), "");
  return files;
}

Survey run_survey(const plan::Plan& plan, const SurveyOptions& options, const SurveyFiles& files,
                  StopSignals& stop, const SurveyNews& news) {
  return SurveyRun(plan, options, files, stop, news).run();
}

}  // namespace lockstep::campaign
