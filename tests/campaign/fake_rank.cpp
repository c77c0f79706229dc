// Stands in for lockstep-rank: leaves a journal as a rank does, computes and sends nothing, stops after a
// step when SIGUSR1 asks for it (each rank by itself: there is nothing to agree on), and misbehaves on
// demand. FAKE_MODE=<mode>[@<leg index>]: ok, slow, hang, deaf (to SIGUSR1; slow), killed, late, bad_input,
// never, elsewhere (rank 1's journal goes into the folder FAKE_ELSEWHERE), stall (in the last step);
// everywhere or in one launch only.

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <string>
#include <thread>

#include <sys/resource.h>
#include <unistd.h>

#include "harness/campaign/hosts.hpp"
#include "harness/campaign/schedule.hpp"
#include "harness/core/clock.hpp"
#include "harness/core/hash.hpp"
#include "harness/core/posix.hpp"
#include "harness/plan/load.hpp"
#include "harness/record/checkpoint.hpp"
#include "harness/record/journal.hpp"

namespace {

using namespace lockstep;

std::map<std::string, std::string> parse(int argc, char** argv) {
  std::map<std::string, std::string> options;
  for (int i = 1; i + 1 < argc; i += 2)
    options[argv[i]] = argv[i + 1];
  return options;
}

std::string mode_of(const std::string& leg_index) {
  const char* text = std::getenv("FAKE_MODE");
  const std::string mode = text != nullptr ? text : "ok";
  const std::size_t at = mode.find('@');
  if (at == std::string::npos)
    return mode;
  return mode.substr(at + 1) == leg_index ? mode.substr(0, at) : "ok";
}

record::GraphRow graph_row(std::uint32_t op, const std::string& kind, const std::string& stream) {
  record::GraphRow row;
  row.op = op;
  row.name = kind;
  row.kind = kind;
  row.stream = stream;
  row.phase = "backward";
  row.dtype = "f32";
  return row;
}

record::RankMeta describe(const plan::Plan& plan, const std::map<std::string, std::string>& options,
                          std::uint32_t rank) {
  campaign::Launch launch;
  launch.index = static_cast<std::uint32_t>(std::stoul(options.at("--leg-index")));
  launch.round = static_cast<std::uint32_t>(std::stoul(options.at("--round")));
  launch.attempt = static_cast<std::uint32_t>(std::stoul(options.at("--attempt")));
  if (options.contains("--first-step"))
    launch.first_step = static_cast<std::uint32_t>(std::stoul(options.at("--first-step")));
  launch.launched_utc_ns = std::stoll(options.at("--launched-utc-ns"));
  while (plan.legs[launch.leg].name != options.at("--leg"))
    ++launch.leg;
  const plan::Leg& leg = plan.legs[launch.leg];
  const auto per_site = campaign::ranks_per_site(plan, leg, {});
  std::uint32_t ranks = 0;
  std::string site;
  for (std::size_t i = 0; i < per_site.size(); ++i) {
    if (site.empty() && rank < ranks + per_site[i])
      site = plan.sites[leg.sites[i].value()].name;
    ranks += per_site[i];
  }
  record::RankMeta meta;
  meta.leg = campaign::leg_row(plan, launch, ranks);
  meta.rank.leg = launch.index;
  meta.rank.rank = rank;
  meta.rank.world_rank = rank;
  meta.rank.site = site;
  meta.rank.host = short_host_name();
  meta.rank.pid = ::getpid();
  meta.rank.binary_hash = "fake";
  meta.rank.plan_hash = sha256(plan.text);
  meta.rank.compute = "paced";
  meta.rank.fabric = "mpi";
  meta.rank.progress = "backoff";
  meta.rank.tokens_per_step = 8.0;
  meta.graph = {graph_row(0, "gemm", "compute"), graph_row(1, "all_reduce", "communication")};
  for (record::GraphRow& row : meta.graph)
    row.leg = launch.index;
  meta.graph[1].group = "data_parallel";
  meta.graph[1].group_ranks = ranks;
  for (std::uint32_t other = 0; other < ranks; ++other)
    meta.parts["data_parallel"].push_back(other);
  meta.graph[1].spans_sites = leg.sites.size() > 1 ? 1 : 0;
  meta.graph[1].bytes = 4096;
  meta.graph[1].after = "0";
  return meta;
}

volatile std::sig_atomic_t stop_asked = 0;

void wait_for_ever() {
  while (true)
    ::pause();
}

void run_step(step::Recording recording, std::uint32_t step, bool warmup, std::chrono::milliseconds length) {
  const std::int64_t begin_ns = monotonic_ns();
  std::this_thread::sleep_for(length);
  const std::int64_t end_ns = monotonic_ns();
  const std::int64_t half_ns = begin_ns + (end_ns - begin_ns) / 2;
  recording.comms[step] = {step, 1, half_ns, end_ns, end_ns - half_ns};
  const std::size_t kept = std::size_t{step % recording.kept_steps} * recording.ops_per_step;
  recording.ops[kept] = {step, 0, begin_ns, half_ns};
  recording.ops[kept + 1] = {step, 1, half_ns, end_ns};
  step::StepStamp stamp;
  stamp.step = step;
  stamp.flags = (warmup ? step::kStepWarmup : 0U) | step::kStepValidated;
  stamp.begin_ns = begin_ns;
  stamp.end_ns = end_ns;
  stamp.compute_ns = half_ns - begin_ns;
  stamp.exposed_ns = end_ns - half_ns;
  stamp.checksum = 7;
  recording.steps[step] = stamp;
}

/// results/checkpoint-LEG-rROUND, where the journals are in results/journals/leg-...
std::string checkpoints_of(const record::LegRow& leg, const std::map<std::string, std::string>& options) {
  return std::filesystem::path(options.at("--journals")).parent_path().parent_path() /
         record::checkpoint_folder_name(leg);
}

/// Nothing but the mark of a whole one.
void save_checkpoint(const plan::Plan& plan, const std::string& folder, std::uint32_t rank,
                     const record::CompleteCheckpoint& checkpoint) {
  if (rank != 0 || plan.recovery.checkpoint_steps == 0 ||
      checkpoint.step % plan.recovery.checkpoint_steps != 0)
    return;
  std::filesystem::create_directories(folder + "/" + record::checkpoint_step_name(checkpoint.step));
  record::mark_complete(folder, checkpoint);
}

/// Real ranks wait for each other in every step; these do not. Rank 0 has to save one first.
void await_checkpoint(const plan::Plan& plan, const std::string& folder) {
  if (plan.recovery.checkpoint_steps == 0)
    return;
  while (!record::complete_checkpoint(folder, 4))
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

}  // namespace

int main(int argc, char** argv) {
  static_cast<void>(std::signal(SIGUSR1, [](int) { stop_asked = 1; }));
  // A limit on file size that a test put on the controller is not meant for ranks.
  rlimit limit{};
  if (::getrlimit(RLIMIT_FSIZE, &limit) == 0) {
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  const auto options = parse(argc, argv);
  const char* rank_text = std::getenv("FAKE_RANK");
  const auto rank =
      static_cast<std::uint32_t>(std::strtoul(rank_text != nullptr ? rank_text : "0", nullptr, 10));
  const std::string mode = mode_of(options.at("--leg-index"));
  if (mode == "bad_input") {
    std::fprintf(stderr, "lockstep-rank %u: error: host here is in no site of the plan\n", rank);
    return 2;
  }
  if (mode == "never")
    wait_for_ever();

  const plan::Plan plan = plan::load_plan(options.at("--plan"));
  const record::RankMeta meta = describe(plan, options, rank);
  const std::uint32_t steps = meta.leg.steps + meta.leg.warmup_steps;
  const std::string checkpoints = checkpoints_of(meta.leg, options);
  std::string folder = options.at("--journals");
  if (mode == "elsewhere" && rank == 1) {  // as on a host that does not share its disk
    folder =
        std::string(std::getenv("FAKE_ELSEWHERE")) + "/" + std::filesystem::path(folder).filename().string();
    std::filesystem::create_directories(folder);
  }
  record::Journal journal = record::Journal::create(folder + "/" + record::journal_file_name(rank), meta,
                                                    steps, plan.run.op_stamp_steps, 2, 1);
  record::WhereAbouts& where = journal.where();
  where.phase = record::RankPhase::stepping;
  record::ClockRow clock;
  clock.leg = meta.leg.leg;
  clock.rank = rank;
  clock.local_ns = monotonic_ns();
  clock.bound_ns = 1000;
  journal.add_clock(clock);
  const auto length = std::chrono::milliseconds(mode == "slow" || mode == "deaf" ? 50 : 2);
  for (std::uint32_t step = 0; step < steps; ++step) {
    if (mode == "killed" && rank == 1 && step == 5) {
      await_checkpoint(plan, checkpoints);
      ::raise(SIGKILL);
    }
    if (mode == "hang" && step == 5) {
      static_cast<void>(std::signal(SIGTERM, SIG_IGN));
      wait_for_ever();
    }
    where.step = step;
    const bool stalls = mode == "stall" && step == steps - 1;
    run_step(journal.recording(), step, step < meta.leg.warmup_steps,
             stalls ? std::chrono::milliseconds(800) : length);
    where.completed_steps = step + 1;
    save_checkpoint(plan, checkpoints, rank, {meta.leg.first_step + step + 1, meta.leg.ranks});
    if (stop_asked != 0 && mode != "deaf" && step + 1 < steps)
      return 0;
  }
  clock.local_ns = monotonic_ns();
  journal.add_clock(clock);
  where.phase = record::RankPhase::finalizing;
  journal.complete();
  where.phase = record::RankPhase::done;
  if (mode == "late")
    wait_for_ever();
  return 0;
}
