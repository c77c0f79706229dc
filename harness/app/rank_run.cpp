#include "harness/app/rank_run.hpp"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <unistd.h>

#include "harness/app/rank_evidence.hpp"
#include "harness/app/rank_places.hpp"
#include "harness/app/rank_stop.hpp"
#include "harness/app/rank_wait.hpp"
#include "harness/compute/backend.hpp"
#include "harness/core/clock.hpp"
#include "harness/core/cpu_set.hpp"
#include "harness/core/error.hpp"
#include "harness/core/hash.hpp"
#include "harness/core/log.hpp"
#include "harness/core/units.hpp"
#include "harness/fabric/make_fabric.hpp"
#include "harness/fabric/pattern_validator.hpp"
#include "harness/mpi/collect.hpp"
#include "harness/mpi/environment.hpp"
#include "harness/mpi/error.hpp"
#include "harness/mpi/parameters.hpp"
#include "harness/plan/load.hpp"
#include "harness/record/describe.hpp"
#include "harness/record/journal.hpp"
#include "harness/record/provenance.hpp"
#include "harness/step/executor.hpp"
#include "harness/topology/clock_sync.hpp"
#include "harness/topology/leg_topology.hpp"
#include "harness/topology/rank_order.hpp"
#include "harness/watch/launch_view.hpp"
#include "harness/watch/watchdog.hpp"
#include "workloads/transformer.hpp"

namespace lockstep::app {
namespace {

using record::RankPhase;
using watch::RankExit;

/// Time for the other ranks to notice the same thing and to record it, before mpirun ends them all.
constexpr std::int64_t kLetOthersRecordNs = 500'000'000;

/// What the watchdog's thread needs to leave a record. `meta` is set before `journal`.
struct LastWords {
  const record::RankMeta* meta = nullptr;
  std::atomic<record::Journal*> journal{nullptr};
};
LastWords last_words;

[[noreturn]] void end_process(RankExit code) {
  sleep_until_ns(monotonic_ns() + kLetOthersRecordNs);
  ::_exit(static_cast<int>(code));
}

record::FailureRow failure_row(const record::RankMeta& meta, std::string kind, std::string message) {
  record::FailureRow row;
  row.leg = meta.leg.leg;
  row.rank = static_cast<std::int32_t>(meta.rank.rank);
  row.kind = std::move(kind);
  row.utc_ns = utc_ns();
  row.message = std::move(message);
  return row;
}

/// One rank's way through a launch, from MPI_Init to its last byte of evidence.
class RankRun {
 public:
  RankRun(const RankRun&) = delete;
  RankRun& operator=(const RankRun&) = delete;
  ~RankRun() { last_words.journal.store(nullptr); }
  RankRun(const RankOptions& options, const plan::Plan& plan, const compute::ComputeChoice& choice,
          FastClock& clock, watch::Watchdog& watchdog)
      : options_(options),
        plan_(plan),
        leg_(leg_of(plan, options.leg)),
        choice_(choice),
        clock_(clock),
        watchdog_(watchdog) {}

  /// Everything that can be refused. All ranks throw the same error, or none does.
  void set_up() {
    const mpi::Communicator world = mpi::Communicator::world();
    const double deadline_s = plan_.deadlines.init_s;
    topology_.emplace(topology::meet(world, plan_, leg_, deadline_s));
    layout_.ranks_per_site = topology_->order.ranks_per_site;
    set_log_name(fmt::format("lockstep-rank {}", rank().value()));
    warning_ = topology::crossing_warning(topology_->order);
    if (rank().value() == 0 && !warning_.empty())
      log_warning(warning_);
    prepare();
  }

  /// Runs all steps, or as many as all ranks agree on when some were asked to stop. Returns only when those
  /// were completed.
  void run_steps() {
    where(RankPhase::clock_sync);
    watchdog_.enter("clock synchronisation", plan_.deadlines.init_s);
    stamp_clock();
    watchdog_.enter("first barrier", plan_.deadlines.init_s);
    mpi::barrier(topology_->leg, plan_.deadlines.init_s);
    where(RankPhase::stepping);
    // The executor sees to communications; this is for compute that never ends.
    double longest_s = plan_.deadlines.init_s;
    watchdog_.enter("steps", op_deadline_s() + 5.0 * longest_s);
    longest_s = 0.0;
    const std::uint32_t all = plan_.run.warmup_steps + plan_.run.steps;
    std::uint32_t done = 0;
    for (std::uint32_t step = 0; step < all; ++step) {
      journal_->where().step.store(step, std::memory_order_relaxed);
      const std::int64_t begin_ns = clock_.now_ns();
      const step::StepResult result =
          executor_->run_step(step, step < plan_.run.warmup_steps ? step::kStepWarmup : 0U);
      if (result.status != step::StepStatus::completed)
        give_up(step, result);
      for (const step::Corruption& corruption : result.corruptions)
        record_corruption(step, corruption);
      const std::int64_t end_ns = clock_.now_ns();
      longest_s = std::max(longest_s, seconds_from_ns(end_ns - begin_ns));
      watchdog_.extend(op_deadline_s() + 5.0 * longest_s);
      journal_->where().since_ns.store(end_ns, std::memory_order_relaxed);
      done = step + 1;
      journal_->where().completed_steps.store(done, std::memory_order_release);
      if (done < all && is_last_step(step, end_ns))
        break;
    }
    stop_vote_->close();
    where(RankPhase::clock_sync);
    watchdog_.enter("clock synchronisation", plan_.deadlines.init_s);
    stamp_clock();
    executor_.reset();
    stopped_early_ = done < all;
    if (!stopped_early_)
      journal_->complete();
    else if (rank().value() == 0)
      log_warning(fmt::format("asked to stop: {} of {} steps were run", done, all));
  }

  /// Brings the evidence together.
  void collect() {
    where(RankPhase::collecting);
    watchdog_.enter("collection of journals", plan_.deadlines.merge_s);
    mpi::barrier(topology_->leg, plan_.deadlines.merge_s);
    collect_journals(places_.journals, topology_->leg, plan_.deadlines.merge_s);
    if (!options_.launched_by_controller && rank().value() == 0)
      merge_by_hand(plan_, meta_.leg, places_, stopped_early_ ? "interrupted" : "completed");
    where(RankPhase::finalizing);
    // Rank 0 may have merged for long; the others wait for it here and not in MPI_Finalize.
    watchdog_.enter("end of the merge", 10.0 * plan_.deadlines.merge_s);
    mpi::barrier(topology_->leg, 10.0 * plan_.deadlines.merge_s);
    where(RankPhase::done);
  }

 private:
  [[nodiscard]] RankId rank() const { return topology_->self; }
  [[nodiscard]] double op_deadline_s() const {
    const plan::Deadlines& deadlines = plan_.deadlines;
    return deadlines.op_s > 0.0 ? deadlines.op_s : deadlines.first_op_s;
  }

  void where(RankPhase phase) {
    record::WhereAbouts& where = journal_->where();
    where.phase.store(phase, std::memory_order_relaxed);
    where.since_ns.store(clock_.now_ns(), std::memory_order_release);
  }

  /// Does what may fail on one rank alone, then lets all ranks know: either all go on, or all throw the first
  /// rank's error.
  template <class Work>
  void together(Work&& work) {
    std::string verdict;
    try {
      work();
    } catch (const InputError& error) {
      verdict = std::string("I") + error.what();
    } catch (const RunError& error) {
      verdict = std::string("R") + error.what();
    }
    const auto verdicts = mpi::all_gather_strings(topology_->leg, verdict, plan_.deadlines.init_s);
    for (std::size_t i = 0; i < verdicts.size(); ++i) {
      if (verdicts[i].empty())
        continue;
      Problem problem{
          .what = verdicts[i].substr(1) + fmt::format(" [rank {} on {}]", i, topology_->cards[i].host),
          .why = {},
          .suggestion = {},
          .file = {}};
      if (verdicts[i][0] == 'I')
        throw InputError(std::move(problem));
      throw RunError(std::move(problem));
    }
  }

  /// Steps that one rank may fail at are taken together; between them stand the collective ones.
  void prepare() {
    together([this] {
      graph_ = workloads::build_transformer(plan_.workload, layout_);
      compute_ = compute::make_compute_backend(choice_, graph_);
    });
    meta_.leg = leg_row(plan_, leg_, options_, layout_.ranks());
    describe();
    places_ = choose_places(options_, plan_, meta_.leg, topology_->leg, plan_.deadlines.init_s);
    together([this] {
      make_places(places_);
      make_journal();
      buffers_ = std::make_unique<step::BufferSet>(graph_, compute_.backend->buffers_needed(), rank());
    });
    stop_vote_.emplace(topology_->leg, op_deadline_s());
    fabric_ = fabric::make_fabric(plan_.fabric, graph_, topology_->leg, plan_.deadlines.init_s);
    validator_ = std::make_unique<fabric::PatternValidator>(graph_, rank(), plan_.validation.samples);
    step::ExecutorOptions execution;
    execution.wait = wait_.mode;
    execution.op_deadline_s = op_deadline_s();
    execution.validation_share = plan_.validation.step_share;
    executor_ = std::make_unique<step::Executor>(graph_, *compute_.backend, *fabric_, *buffers_, clock_,
                                                 journal_->recording(), validator_.get(), execution);
  }

  void make_journal() {
    journal_ = std::make_unique<record::Journal>(record::Journal::create(
        places_.journals + "/" + record::journal_file_name(rank().value()), meta_,
        plan_.run.warmup_steps + plan_.run.steps, plan_.run.op_stamp_steps,
        static_cast<std::uint32_t>(graph_.ops.size()), static_cast<std::uint32_t>(graph_.comm_ops().size())));
    last_words.meta = &meta_;
    last_words.journal.store(journal_.get());
    where(RankPhase::set_up);
  }

  [[nodiscard]] CoreShare core_share() const {
    CoreShare share;
    share.own = CpuSet::of_this_thread();
    share.busy_threads = compute_.backend->busy_threads();
    // One kernel is one set of cores, whatever its hosts are called: sites that share a machine share them
    // too.
    for (const topology::RankCard& card : topology_->cards) {
      if (card.boot_id == topology_->own_card().boot_id)
        share.on_machine.push_back(CpuSet::parse(card.cores).value_or(CpuSet{}));
    }
    if (plan_.placement == plan::Placement::colocated) {
      // A site alone leaves cores free that the joint leg needs. All legs must wait in the same way, or eta
      // would compare ways of waiting.
      std::size_t all_sites = 0;
      for (const plan::Site& site : plan_.sites)
        all_sites += site.slots;
      share.on_machine.resize(std::max(all_sites, share.on_machine.size()), share.own);
    }
    return share;
  }

  void describe() {
    const topology::RankCard& card = topology_->own_card();
    const CoreShare share = core_share();
    wait_ = choose_wait(plan_.fabric.progress, share);
    record::RankRow& row = meta_.rank;
    row.leg = meta_.leg.leg;
    row.rank = rank().value();
    row.world_rank = card.world_rank;
    row.site = card.site;
    row.host = card.host;
    row.local_rank = topology_->order.local_rank[rank().value()];
    row.pid = card.pid;
    row.cores = card.cores;
    row.binary_hash = card.binary_hash;
    row.plan_hash = card.plan_hash;
    row.compute = compute_.facts.description;
    row.fabric = plan::to_string(plan_.fabric.backend);
    row.progress = fmt::format("{}: {}", step::to_string(wait_.mode), wait_.reason);
    row.peak_gflops = compute_.facts.peak_gflops;
    row.tokens_per_step = graph_.tokens_per_rank;
    row.state = "partial";
    meta_.graph = record::graph_rows(meta_.leg.leg, graph_);
    meta_.parts = record::group_parts(graph_, rank());
    if (row.local_rank == 0)
      describe_host(share);
  }

  /// Facts that all ranks of a host share are told by one of them.
  void describe_host(const CoreShare& share) {
    const auto leg = static_cast<std::int32_t>(meta_.leg.leg);
    const auto self = static_cast<std::int32_t>(rank().value());
    meta_.provenance = record::machine_provenance(leg, self);
    const auto add = [&](const std::string& key, const std::string& value) {
      meta_.provenance.push_back({leg, self, key, value});
    };
    add("kernel.boot_id", topology_->own_card().boot_id);
    add("clock.source", clock_.source());
    add(watch::kUtcOffsetKey, std::to_string(utc_ns() - monotonic_ns()));
    add("oversubscribed", is_oversubscribed(share) ? "yes" : "no");
    add("mpi.library", mpi::library_version());
    add("mpi.standard", mpi::standard_version());
    for (const mpi::Parameter& parameter : mpi::performance_parameters())
      add("mpi." + parameter.name, parameter.value);
    for (const compute::Fact& fact : compute_.facts.details)
      add(fact.key, fact.value);
    if (!warning_.empty())
      add("warning", warning_);
  }

  void stamp_clock() {
    topology::ClockSyncOptions limits;
    limits.deadline_s = plan_.deadlines.init_s;
    const topology::ClockEstimate estimate =
        topology::synchronize_clocks(topology_->leg, topology_->clock_tree(), clock_, limits);
    record::ClockRow row;
    row.leg = meta_.leg.leg;
    row.rank = rank().value();
    row.local_ns = estimate.local_ns;
    row.offset_ns = estimate.offset_ns;
    row.bound_ns = estimate.bound_ns;
    journal_->add_clock(row);
  }

  void record_corruption(std::uint32_t step, const step::Corruption& corruption) {
    record::FailureRow row = failure_row(
        meta_, "wrong_value",
        fmt::format("{} wrong values in {} of step {}; the first at element {}: expected {}, found {}",
                    corruption.wrong_elements, graph_.op(corruption.op).name, step, corruption.first.offset,
                    corruption.first.expected, corruption.first.observed));
    row.step = static_cast<std::int32_t>(step);
    row.op = static_cast<std::int32_t>(corruption.op.value());
    row.offset = corruption.first.offset;
    row.expected = corruption.first.expected;
    row.observed = corruption.first.observed;
    journal_->add_failure(row);
    log_error(row.message);
  }

  [[nodiscard]] bool is_last_step(std::uint32_t step, std::int64_t end_ns) {
    try {
      return stop_vote_->ends_after(step, end_ns);
    } catch (const mpi::DeadlineError& error) {
      leave(step, "deadline", error.what(), RankExit::deadline);
    } catch (const mpi::MpiError& error) {
      leave(step, "transport", error.what(), RankExit::transport_error);
    }
  }

  /// The vote on stopping failed, which a peer's death shows in as in any other communication.
  [[noreturn]] void leave(std::uint32_t step, std::string kind, const char* why, RankExit code) {
    record::FailureRow row = failure_row(meta_, std::move(kind), fmt::format("after step {}: {}", step, why));
    row.step = static_cast<std::int32_t>(step);
    journal_->add_failure(row);
    log_error(row.message);
    end_process(code);
  }

  /// A communication failed: record it and leave, without a word to the transport.
  [[noreturn]] void give_up(std::uint32_t step, const step::StepResult& result) {
    const bool deadline = result.status == step::StepStatus::deadline;
    const std::string& name = graph_.op(result.op).name;
    record::FailureRow row =
        deadline
            ? failure_row(meta_, "deadline",
                          fmt::format("{} of step {} was not complete after its deadline of {:g} s", name,
                                      step, op_deadline_s()))
            : failure_row(meta_, "transport", fmt::format("{} of step {}: {}", name, step, result.message));
    row.step = static_cast<std::int32_t>(step);
    row.op = static_cast<std::int32_t>(result.op.value());
    journal_->add_failure(row);
    log_error(row.message);
    end_process(deadline ? RankExit::deadline : RankExit::transport_error);
  }

  const RankOptions& options_;
  const plan::Plan& plan_;
  const plan::Leg& leg_;
  const compute::ComputeChoice& choice_;
  FastClock& clock_;
  watch::Watchdog& watchdog_;
  std::optional<topology::LegTopology> topology_;
  step::RankLayout layout_;
  std::string warning_;
  step::StepGraph graph_;
  compute::ComputeSetup compute_;
  record::RankMeta meta_;
  RankPlaces places_;
  WaitChoice wait_;
  std::unique_ptr<record::Journal> journal_;
  std::unique_ptr<step::BufferSet> buffers_;
  std::unique_ptr<fabric::PatternValidator> validator_;
  std::unique_ptr<step::FabricBackend> fabric_;
  std::unique_ptr<step::Executor> executor_;
  std::optional<StopVote> stop_vote_;
  bool stopped_early_ = false;
};

void on_expiry(const watch::Expiry& expiry) {
  const std::string message = fmt::format("{} did not end within its deadline of {:g} s (waited {:.1f} s)",
                                          expiry.phase, expiry.allowed_s, expiry.waited_s);
  if (record::Journal* journal = last_words.journal.load())
    journal->add_failure(failure_row(*last_words.meta, "deadline", message));
  log_error(message);
  end_process(RankExit::deadline);
}

}  // namespace

int run_rank(const RankOptions& options, int& argc, char**& argv) {
  const plan::Plan plan = plan::load_plan(options.plan_path, options.overrides);
  static_cast<void>(leg_of(plan, options.leg));
  const compute::ComputeChoice choice = compute::choose_compute(plan.compute);
  FastClock clock;
  watch::Watchdog watchdog(&on_expiry);
  watchdog.enter("MPI_Init", plan.deadlines.init_s);
  mpi::Environment environment(argc, argv);
  int code = 0;
  try {
    watchdog.enter("set-up", 2.0 * plan.deadlines.init_s);
    RankRun run(options, plan, choice, clock, watchdog);
    try {
      run.set_up();
    } catch (const InputError& error) {
      // All ranks are here with the same error, so MPI can still be left in order; one of them tells it.
      if (mpi::Communicator::world().rank() == 0)
        log_error(error.what());
      code = static_cast<int>(ExitCode::bad_input);
    } catch (const RunError& error) {
      if (mpi::Communicator::world().rank() == 0)
        log_error(error.what());
      code = static_cast<int>(ExitCode::run_failed);
    }
    if (code == 0) {
      run.run_steps();
      run.collect();
    }
  } catch (const std::exception& error) {
    // This rank alone knows of it: no collective any more, not even MPI_Finalize.
    log_error(error.what());
    ::_exit(static_cast<int>(RankExit::transport_error));
  }
  watchdog.enter("MPI_Finalize", plan.deadlines.finalize_s);
  return code;
}

}  // namespace lockstep::app
