#include "harness/app/rank_run.hpp"

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "harness/app/rank_checkpoint.hpp"
#include "harness/app/rank_describe.hpp"
#include "harness/app/rank_drills.hpp"
#include "harness/app/rank_evidence.hpp"
#include "harness/app/rank_faults.hpp"
#include "harness/app/rank_health.hpp"
#include "harness/app/rank_last_words.hpp"
#include "harness/app/rank_placement.hpp"
#include "harness/app/rank_places.hpp"
#include "harness/app/rank_probes.hpp"
#include "harness/app/rank_stop.hpp"
#include "harness/app/rank_wait.hpp"
#include "harness/compute/backend.hpp"
#include "harness/compute/cuda_memory.hpp"
#include "harness/core/clock.hpp"
#include "harness/core/error.hpp"
#include "harness/core/log.hpp"
#include "harness/core/units.hpp"
#include "harness/cuda/stream.hpp"
#include "harness/fabric/fabric_facts.hpp"
#include "harness/fabric/make_fabric.hpp"
#include "harness/fabric/pattern_validator.hpp"
#include "harness/mpi/collect.hpp"
#include "harness/mpi/environment.hpp"
#include "harness/mpi/error.hpp"
#include "harness/plan/load.hpp"
#include "harness/record/journal.hpp"
#include "harness/step/executor.hpp"
#include "harness/topology/clock_sync.hpp"
#include "harness/topology/leg_topology.hpp"
#include "harness/topology/rank_order.hpp"
#include "harness/watch/deadlines.hpp"
#include "harness/watch/standing.hpp"
#include "harness/watch/watchdog.hpp"
#include "workloads/transformer.hpp"

namespace lockstep::app {
namespace {

using record::RankPhase;
using watch::RankExit;

/// One rank's way through a launch, from MPI_Init to its last byte of evidence.
class RankRun {
 public:
  RankRun(const RankRun&) = delete;
  RankRun& operator=(const RankRun&) = delete;
  ~RankRun() { last_words_.set_journal(nullptr, nullptr); }
  RankRun(const RankOptions& options, const plan::Plan& plan, compute::ComputeChoice choice, FastClock& clock,
          watch::Watchdog& watchdog, LastWords& last_words, watch::Supervised& supervised)
      : options_(options),
        plan_(plan),
        leg_(leg_of(plan, options.leg)),
        choice_(std::move(choice)),
        clock_(clock),
        watchdog_(watchdog),
        last_words_(last_words),
        supervised_(supervised),
        steps_(steps_left(plan, options.first_step)),
        step_count_(steps_.warmup + steps_.steady) {}

  /// From the first meeting to the last byte of evidence. Returns the exit code: 0, or another one when all
  /// ranks agree that it cannot be run.
  [[nodiscard]] int go() {
    try {
      try {
        set_up();
      } catch (const InputError& error) {
        return refuse(error, ExitCode::bad_input);
      } catch (const RunError& error) {
        return refuse(error, ExitCode::run_failed);
      }
      run_steps();
      collect();
      return 0;
    } catch (const mpi::DeadlineError& error) {
      last_words_.say_and_end(told("deadline", error), RankExit::deadline);
    } catch (const mpi::MpiError& error) {
      last_words_.say_and_end(told("transport", error), RankExit::transport_error);
    }
  }

 private:
  /// All ranks are here with the same error, so MPI can still be left in order; one of them tells it.
  static int refuse(const std::exception& error, ExitCode code) {
    if (mpi::Communicator::world().rank() == 0)
      log_error(error.what());
    return static_cast<int>(code);
  }

  [[nodiscard]] Fault told(const char* kind, const std::exception& error) const {
    return {.kind = kind, .message = fmt::format("{}: {}", phase_, error.what())};
  }

  /// Everything that can be refused. All ranks throw the same error, or none does.
  void set_up() {
    const mpi::Communicator world = mpi::Communicator::world();
    const double deadline_s = plan_.deadlines.site_map_s;
    topology_.emplace(topology::meet(world, plan_, leg_, deadline_s, options_.ranks_per_site));
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
    const double first_op_s = plan_.deadlines.first_op_s;
    enter(RankPhase::clock_sync, "clock synchronisation", first_op_s);
    stamp_clock();
    enter(RankPhase::clock_sync, "first barrier", first_op_s);
    mpi::barrier(topology_->leg, first_op_s);
    enter(RankPhase::stepping, "step", seconds_from_ns(deadlines_->step_ns()));
    std::uint32_t done = 0;
    for (std::uint32_t step = 0; step < step_count_; ++step) {
      run_step(step);
      done = step + 1;
      journal_->where().completed_steps.store(done, std::memory_order_release);
      if (done < step_count_ && is_last_step(step))
        break;
      if (done < step_count_ && checkpoints_->is_due(options_.first_step + done))
        save_checkpoint(options_.first_step + done);
    }
    stop_vote_->close();
    enter(RankPhase::clock_sync, "clock synchronisation", first_op_s);
    stamp_clock();
    executor_.reset();
    probes_.reset();
    health_.reset();
    stopped_early_ = done < step_count_;
    if (!stopped_early_)
      journal_->complete();
    else if (rank().value() == 0)
      log_warning(fmt::format("asked to stop: {} of {} steps were run", done, step_count_));
  }

  /// Brings the evidence together.
  void collect() {
    const double merge_s = plan_.deadlines.merge_s;
    enter(RankPhase::collecting, "collection of journals", merge_s);
    mpi::barrier(topology_->leg, merge_s);
    collect_journals(places_.journals, topology_->leg, merge_s);
    // By hand rank 0 merges, perhaps for long; the others wait for it here and not in MPI_Finalize.
    const bool by_hand = !options_.launched_by_controller;
    const double end_s = by_hand ? kMergesByHand * merge_s : merge_s;
    if (by_hand && rank().value() == 0) {
      enter(RankPhase::collecting, "merge", end_s - merge_s);
      merge_by_hand(plan_, meta_.leg, places_, stopped_early_ ? "interrupted" : "completed");
    }
    enter(RankPhase::finalizing, "end of the merge", end_s);
    mpi::barrier(topology_->leg, end_s);
    where(RankPhase::done, plan_.deadlines.finalize_s);
  }

  [[nodiscard]] RankId rank() const { return topology_->self; }
  static constexpr double kMergesByHand = 10.0;
  static constexpr double kAbandonS =
      5.0;  ///< for a transport to let go, which takes it a few seconds at most

  /// Where the rank is, for those who look at its journal, and how long it gives that.
  void where(RankPhase phase, double allowed_s) {
    record::WhereAbouts& where = journal_->where();
    where.phase.store(phase, std::memory_order_relaxed);
    where.allowed_ns.store(static_cast<std::int64_t>(allowed_s * kNsPerS), std::memory_order_relaxed);
    where.since_ns.store(clock_.now_ns(), std::memory_order_release);
  }
  void enter(RankPhase phase, const char* name, double deadline_s) {
    phase_ = name;
    where(phase, deadline_s);
    watchdog_.enter(name, deadline_s);
  }
  /// The same within stepping, where nothing may be locked.
  void extend(std::int64_t now_ns, std::int64_t deadline_ns) {
    record::WhereAbouts& where = journal_->where();
    where.allowed_ns.store(deadline_ns, std::memory_order_relaxed);
    where.since_ns.store(now_ns, std::memory_order_release);
    watchdog_.extend(seconds_from_ns(deadline_ns));
  }

  void run_step(std::uint32_t step) {
    journal_->where().step.store(step, std::memory_order_relaxed);
    drills_->begin_step(step);
    const std::int64_t begin_ns = clock_.now_ns();
    extend(begin_ns, deadlines_->step_ns());
    const std::uint32_t flags = step < steps_.warmup ? step::kStepWarmup : 0U;
    const step::StepResult result = execute(step, flags | drills_->flags(step));
    if (result.status != step::StepStatus::completed)
      give_up(step, result);
    for (const step::Corruption& corruption : result.corruptions)
      note_corruption(step, corruption);
    for (const step::WrongProduct& product : result.wrong_products)
      note_failure(wrong_product(meta_, graph_, step, product));
    const std::int64_t end_ns = clock_.now_ns();
    deadlines_->see_step(end_ns - begin_ns, executor_->comm_times_ns());
    // Until the next step there is the vote, in which another rank may still be on its way through this one.
    extend(end_ns, deadlines_->step_ns());
  }

  /// Where the fabric and the compute backend tell what failed, the result says it. What is thrown comes from
  /// a device on which the known pattern could not be planted or looked for.
  [[nodiscard]] step::StepResult execute(std::uint32_t step, std::uint32_t flags) {
    try {
      return executor_->run_step(step, flags);
    } catch (const RunError& error) {
      last_words_.say_and_end({.kind = "device",
                               .message = fmt::format("step {}: {}", step, error.what()),
                               .step = static_cast<std::int32_t>(step)},
                              RankExit::device);
    }
  }

  /// A job that cannot save its work ends here, as it would lose more and more of it.
  void save_checkpoint(std::uint32_t trained) {
    enter(RankPhase::checkpoint, "checkpoint", checkpoints_->allowed_s());
    const auto trouble = checkpoints_->save(trained, topology_->leg, drills_->disk_is_full());
    if (trouble && trouble->kind.empty()) {
      log_error(trouble->message);
      end_beside_others(RankExit::checkpoint);
    }
    if (trouble) {
      if (trouble->kind == "disk_full")
        supervised_.note_disk_full();
      last_words_.say_and_end({.kind = trouble->kind,
                               .message = trouble->message,
                               .step = static_cast<std::int32_t>(trained - options_.first_step) - 1},
                              RankExit::checkpoint);
    }
    enter(RankPhase::stepping, "step", seconds_from_ns(deadlines_->step_ns()));
  }

  /// Does what may fail on one rank alone, then lets all ranks know: either all go on, or all throw the first
  /// rank's error.
  template <class Work>
  void together(Work&& work, double deadline_s) {
    std::string verdict;
    try {
      work();
    } catch (const InputError& error) {
      verdict = std::string("I") + error.what();
    } catch (const RunError& error) {
      verdict = std::string("R") + error.what();
    }
    const auto verdicts = mpi::all_gather_strings(topology_->leg, verdict, deadline_s);
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
    const auto all = [this](auto work) { together(work, plan_.deadlines.site_map_s); };
    if (plan::uses_gpus(plan_))
      take_place();
    all([this] {
      graph_ = workloads::build_transformer(plan_.workload, layout_);
      take_gpu();
      fabric_layout_ = fabric::lay_out(plan_.fabric, graph_, layout_);
      choice_.fabric_bytes = fabric_layout_.graph.memory_bytes() - graph_.memory_bytes();
      compute_ = compute::make_compute_backend(choice_, graph_);
      if (place_ && compute_.backend->memory().on_host())
        gpu_memory_ = std::make_unique<compute::CudaMemory>(choice_.device);
    });
    meta_.leg = leg_row(plan_, leg_, options_, layout_.ranks());
    agree_on_launch();
    describe();
    places_ = choose_places(options_, plan_, meta_.leg, topology_->leg, plan_.deadlines.site_map_s);
    all([this] {
      make_places(places_);
      last_words_.set_folder(places_.journals);
      supervised_.announce_folder(places_.journals);
      find_health();
      make_journal();
      const DrillTarget self{meta_.leg.leg, rank().value(), meta_.rank.host, meta_.rank.local_rank};
      drills_ = std::make_unique<RankDrills>(plan_, options_.drills, self, options_.first_step, *journal_,
                                             supervised_);
      const Checkpoints::Self own{meta_.leg.leg, rank().value(), layout_.ranks(), meta_.rank.local_rank};
      checkpoints_.emplace(plan_,
                           checkpoint_folder(plan_, meta_.leg, places_.journals, places_.results_folder), own,
                           *journal_, clock_);
      buffers_ = std::make_unique<step::BufferSet>(
          fabric_layout_.graph, compute_.backend->buffers_needed(), rank(),
          fabric::memory_for(plan_.fabric, compute_.backend->memory(), gpu_memory_.get()));
      compute_.backend->prepare(*buffers_);
    });
    if (options_.first_step > 0) {
      const double load_s = checkpoints_->allowed_s();
      enter(RankPhase::checkpoint, "checkpoint", load_s);
      together([this] { checkpoints_->load(options_.first_step); }, load_s);
      enter(RankPhase::set_up, "site map", plan_.deadlines.site_map_s);
    }
    stop_vote_.emplace(topology_->leg, plan_.deadlines.site_map_s);
    make_fabric();
    validator_ = std::make_unique<fabric::PatternValidator>(graph_, rank(), plan_.validation.samples);
    step::ExecutorOptions execution;
    execution.wait = wait_.mode;
    deadlines_.emplace(plan_.deadlines, reaches());
    execution.op_deadlines_ns = deadlines_->comm_ns();
    execution.validation_share = plan_.validation.step_share;
    execution.hold = drills_->hold();
    executor_ = std::make_unique<step::Executor>(graph_, drills_->around(*compute_.backend), *fabric_,
                                                 *buffers_, clock_, journal_->recording(),
                                                 &drills_->around(graph_, *validator_), execution);
    probes_ = start_probes(plan_, *topology_, meta_.leg.leg, *journal_, plan_.deadlines.site_map_s);
    health_ = start_health(plan_, std::move(watched_), meta_.rank, *journal_);
  }

  void find_health() {
    watched_ = find_devices(plan_, meta_.rank);
    meta_.devices = watched_.rows;
    for (const std::string& warning : watched_.warnings) {
      log_warning(warning);
      meta_.provenance.push_back({static_cast<std::int32_t>(meta_.leg.leg),
                                  static_cast<std::int32_t>(rank().value()), "warning.health", warning});
    }
  }

  /// By hand nobody told the ranks when the launch began: rank 0 says.
  void agree_on_launch() {
    if (meta_.leg.launched_utc_ns > 0)
      return;
    const auto all =
        mpi::all_gather_strings(topology_->leg, std::to_string(utc_ns()), plan_.deadlines.site_map_s);
    meta_.leg.launched_utc_ns = std::stoll(all.front());
  }

  /// The device on which this rank computes, and from which the fabric sends by this thread.
  void take_gpu() {
    if (!place_)
      return;
    if (!place_->choice.gpu)
      throw InputError({.what = "the plan needs a GPU, and this rank sees none",
                        .why = place_->gpu_problem,
                        .suggestion = "use compute.backend = \"cpu\" and fabric.backend = \"mpi\", or run "
                                      "lockstep doctor to see what each host has",
                        .file = {}});
    choice_.device = place_->choice.gpu->ordinal;
    cuda::make_current(choice_.device);
  }

  /// Equal for the ranks of one kernel, which share its GPUs.
  [[nodiscard]] std::string machine() const {
    const topology::RankCard& card = topology_->own_card();
    return card.boot_id.empty() ? card.host : card.boot_id;
  }

  void make_fabric() {
    const double deadline_s = plan_.deadlines.site_map_s;
    enter(RankPhase::set_up, "set-up of the fabric", fabric::set_up_allowance_s(plan_.fabric, deadline_s));
    fabric_ = fabric::make_fabric(plan_.fabric, {.layout = fabric_layout_,
                                                 .leg = topology_->leg,
                                                 .memory = buffers_->memory(),
                                                 .machine = machine(),
                                                 .deadline_s = deadline_s});
    enter(RankPhase::set_up, "site map", deadline_s);
  }

  /// Before memory is allocated and before a GPU is used.
  void take_place() {
    const double deadline_s = plan_.deadlines.site_map_s;
    together(
        [this] {
          place_ = place_rank(look_at_host(),
                              local_ranks(plan_, leg_, topology_->order, topology_->cards, rank()));
        },
        deadline_s);
    compare_places(*place_, *topology_, deadline_s);
    if (bind_near_gpu(*place_))
      place_->facts.push_back({"placement.bound_to", place_->choice.narrower.text()});
    for (const std::string& warning : place_->choice.warnings)
      log_warning(warning);
  }

  void make_journal() {
    journal_ = std::make_unique<record::Journal>(record::Journal::create(
        places_.journals + "/" + record::journal_file_name(rank().value()), meta_, step_count_,
        plan_.run.op_stamp_steps, static_cast<std::uint32_t>(graph_.ops.size()),
        static_cast<std::uint32_t>(graph_.comm_ops().size()), room()));
    last_words_.set_journal(journal_.get(), &meta_);
    where(RankPhase::set_up, plan_.deadlines.site_map_s);
  }

  [[nodiscard]] record::JournalRoom room() const {
    const std::uint32_t every = plan_.recovery.checkpoint_steps;
    return {.drills = static_cast<std::uint32_t>(options_.drills.size()),
            .checkpoints = 1 + (every > 0 ? step_count_ / every : 0),  // and what was loaded
            .probes = probe_rows(plan_, *topology_),
            .health = health_rows(watched_)};
  }

  [[nodiscard]] std::vector<watch::OpReach> reaches() const {
    std::vector<watch::OpReach> reaches;
    for (const OpId op : graph_.comm_ops()) {
      const step::Group& group = graph_.group(std::get<step::Comm>(graph_.op(op).work).group);
      reaches.push_back(group.spans_sites ? watch::OpReach::wan : watch::OpReach::site);
    }
    return reaches;
  }

  void describe() {
    const CoreShare share = core_share(plan_, *topology_, compute_.backend->busy_threads());
    wait_ = choose_wait(plan_.fabric.progress, share);
    describe_rank(meta_, {.plan = plan_,
                          .topology = *topology_,
                          .graph = graph_,
                          .compute = compute_.facts,
                          .fabric = fabric::describe_fabric(plan_.fabric, fabric_layout_),
                          .wait = wait_,
                          .share = share,
                          .placement = place_ ? &*place_ : nullptr,
                          .clock_source = clock_.source(),
                          .warning = warning_});
  }

  void stamp_clock() {
    topology::ClockSyncOptions limits;
    limits.deadline_s = plan_.deadlines.first_op_s;
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

  [[nodiscard]] bool is_last_step(std::uint32_t step) {
    const auto leave = [&](const char* kind, const std::exception& error, RankExit code) {
      // A peer's death shows in the vote as in any other communication.
      last_words_.say_and_end({.kind = kind,
                               .message = fmt::format("after step {}: {}", step, error.what()),
                               .step = static_cast<std::int32_t>(step)},
                              code);
    };
    stop_vote_->set_deadline(seconds_from_ns(deadlines_->step_ns()));
    try {
      return stop_vote_->ends_after(step, clock_.now_ns());
    } catch (const mpi::DeadlineError& error) {
      leave("deadline", error, RankExit::deadline);
    } catch (const mpi::MpiError& error) {
      leave("transport", error, RankExit::transport_error);
    }
    return false;
  }

  void note_corruption(std::uint32_t step, const step::Corruption& corruption) {
    note_failure(wrong_value(meta_, graph_, step, corruption));
  }

  void note_failure(const record::FailureRow& row) {
    journal_->add_failure(row);
    log_error(row.message);
  }

  /// A communication failed: record it and leave, without a word to the transport.
  [[noreturn]] void give_up(std::uint32_t step, const step::StepResult& result) {
    const watch::Standing standing = watch::where_it_stands(meta_, journal_->recording(), step);
    last_words_.say(
        failed_step(graph_, step, result, deadlines_->comm_ns(), watch::describe(standing, clock_.now_ns())));
    watchdog_.enter("the end of the transport", kAbandonS);
    fabric_->abandon();
    end_beside_others(result.status == step::StepStatus::deadline        ? RankExit::deadline
                      : result.status == step::StepStatus::compute_error ? RankExit::device
                                                                         : RankExit::transport_error);
  }

  const RankOptions& options_;
  const plan::Plan& plan_;
  const plan::Leg& leg_;
  compute::ComputeChoice choice_;
  FastClock& clock_;
  watch::Watchdog& watchdog_;
  LastWords& last_words_;
  watch::Supervised& supervised_;
  std::optional<topology::LegTopology> topology_;
  step::RankLayout layout_;
  std::string warning_;
  step::StepGraph graph_;
  fabric::HierarchyPlan fabric_layout_;
  std::optional<RankPlacement> place_;  ///< of a plan that uses GPUs
  compute::ComputeSetup compute_;
  record::RankMeta meta_;
  RankPlaces places_;
  WaitChoice wait_;
  std::unique_ptr<record::Journal> journal_;
  std::unique_ptr<RankDrills> drills_;
  std::optional<Checkpoints> checkpoints_;
  std::unique_ptr<compute::CudaMemory>
      gpu_memory_;  ///< of a fabric that sends from a GPU while a CPU computes
  std::unique_ptr<step::BufferSet> buffers_;
  std::unique_ptr<fabric::PatternValidator> validator_;
  std::unique_ptr<step::FabricBackend> fabric_;
  std::optional<watch::StepDeadlines> deadlines_;
  std::unique_ptr<step::Executor> executor_;
  std::optional<StopVote> stop_vote_;
  std::unique_ptr<watch::SiteProbes> probes_;
  WatchedDevices watched_;
  std::unique_ptr<watch::HealthSampler> health_;
  plan::AttemptSteps steps_;
  std::uint32_t step_count_ = 0;  ///< of this launch
  const char* phase_ = "site map";
  bool stopped_early_ = false;
};

}  // namespace

int run_rank(const RankOptions& options, watch::Supervised& supervised, int& argc, char**& argv) {
  const plan::Plan plan = plan::load_plan(options.plan_path, options.overrides);
  static_cast<void>(leg_of(plan, options.leg));
  static_cast<void>(steps_left(plan, options.first_step));
  const compute::ComputeChoice choice = compute::choose_compute(plan.compute);
  FastClock clock;
  LastWords last_words(options.journals);
  watch::Watchdog watchdog([&last_words](const watch::Expiry& expiry) {
    last_words.say_and_end(last_words.overdue(expiry), RankExit::deadline);
  });
  watchdog.enter("MPI_Init", plan.deadlines.init_s);
  mpi::Environment environment(argc, argv);
  int code = 0;
  try {
    watchdog.enter("site map", plan.deadlines.site_map_s);
    RankRun run(options, plan, choice, clock, watchdog, last_words, supervised);
    code = run.go();
  } catch (const std::exception& error) {
    // This rank alone knows of it: no collective any more, not even MPI_Finalize.
    last_words.say_and_end({.kind = "launch", .message = error.what()}, RankExit::transport_error);
  }
  watchdog.enter("MPI_Finalize", plan.deadlines.finalize_s);
  return code;
}

}  // namespace lockstep::app
