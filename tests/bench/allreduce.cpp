// The time that Lockstep reports for an all-reduce (the stamps of its executor, or of a bare start-and-test
// loop over its fabric) against plain MPI timing loops, interleaved in one run: mpirun -np 2 bench_allreduce
//
// Every repetition runs all contenders once, in turning order, each after a barrier of its own, on the same
// memory. A repetition's time is that of its slowest rank; the table gives medians over repetitions.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "harness/core/clock.hpp"
#include "harness/fabric/mpi_fabric.hpp"
#include "harness/fabric/pattern_validator.hpp"
#include "harness/mpi/collect.hpp"
#include "harness/mpi/communicator.hpp"
#include "harness/mpi/environment.hpp"
#include "harness/mpi/error.hpp"
#include "harness/step/executor.hpp"

namespace {

using namespace lockstep;

constexpr double kDeadlineS = 120.0;

enum class Driver { executor, direct };

struct Options {
  std::uint32_t repetitions = 200;
  std::uint32_t warmups = 10;
  Driver driver = Driver::executor;
  step::WaitMode wait = step::WaitMode::spin;
};

/// A workload that only communicates.
class NoCompute final : public step::ComputeBackend {
 public:
  void run(const step::Op&, step::BufferSet&, std::int64_t) override {}
  [[nodiscard]] std::string name() const override { return "none"; }
  [[nodiscard]] int busy_threads() const override { return 0; }
  [[nodiscard]] step::BufferSet::Need buffers_needed() const override {
    return step::BufferSet::Need::communicated;
  }
};

step::StepGraph one_all_reduce(std::uint64_t elements, int ranks) {
  step::StepGraph graph;
  graph.workload = "all_reduce";
  graph.buffers.push_back({"from", step::BufferRole::gradients, step::Dtype::f32, elements});
  graph.buffers.push_back({"to", step::BufferRole::reduced, step::Dtype::f32, elements});
  step::Group world{.name = "world", .parts = {{}}, .spans_sites = false};
  for (int rank = 0; rank < ranks; ++rank)
    world.parts[0].emplace_back(static_cast<std::uint32_t>(rank));
  graph.groups.push_back(world);
  step::Comm comm;
  comm.kind = step::CommKind::all_reduce;
  comm.elements = elements;
  comm.to = {BufferId(1), 0};
  comm.validated = true;
  graph.ops.push_back({.name = "all_reduce", .phase = step::Phase::backward, .work = comm, .after = {}});
  return graph;
}

/// Everything that one message size needs, made before its first repetition.
class Contest {
 public:
  Contest(const mpi::Communicator& world, const Options& options, std::uint64_t elements, FastClock& clock)
      : world_(world),
        clock_(clock),
        graph_(one_all_reduce(elements, world.size())),
        fabric_(graph_, world, {}),
        buffers_(graph_, step::BufferSet::Need::communicated,
                 RankId(static_cast<std::uint32_t>(world.rank()))),
        validator_(graph_, RankId(static_cast<std::uint32_t>(world.rank())), 256),
        ops_(1),
        comms_(options.repetitions + options.warmups),
        steps_(options.repetitions + options.warmups) {
    step::Recording recording;
    recording.ops = ops_;
    recording.comms = comms_;
    recording.steps = steps_;
    recording.ops_per_step = 1;
    recording.comms_per_step = 1;
    recording.kept_steps = 1;
    if (options.driver == Driver::executor) {
      step::ExecutorOptions how;
      how.wait = options.wait;
      how.op_deadline_s = kDeadlineS;
      how.validation_share = 0.0;
      executor_ = std::make_unique<step::Executor>(graph_, compute_, fabric_, buffers_, clock_, recording,
                                                   nullptr, how);
    }
  }

  std::int64_t lockstep_ns(std::uint32_t step) {
    if (!executor_)
      return direct_ns();
    const step::StepResult result = executor_->run_step(step, 0);
    if (result.status != step::StepStatus::completed)
      throw std::runtime_error("the executor gave up: " + result.message);
    return comms_[step].end_ns - comms_[step].begin_ns;
  }

  std::int64_t plain_nonblocking_ns() {
    const std::int64_t begin_ns = clock_.now_ns();
    MPI_Request request = MPI_REQUEST_NULL;
    mpi::check(MPI_Iallreduce(from(), to(), count(), MPI_FLOAT, MPI_SUM, world_.handle(), &request),
               "MPI_Iallreduce");
    mpi::check(MPI_Wait(&request, MPI_STATUS_IGNORE), "MPI_Wait");
    return clock_.now_ns() - begin_ns;
  }

  std::int64_t plain_blocking_ns() {
    const std::int64_t begin_ns = clock_.now_ns();
    mpi::check(MPI_Allreduce(from(), to(), count(), MPI_FLOAT, MPI_SUM, world_.handle()), "MPI_Allreduce");
    return clock_.now_ns() - begin_ns;
  }

  /// Wrong elements over all ranks in one more all-reduce, which carries the known pattern.
  std::int64_t wrong_elements() {
    validator_.plant(0, 0, comm(), buffers_);
    static_cast<void>(direct_ns());
    const auto wrong = static_cast<std::int64_t>(validator_.check(0, 0, comm(), buffers_).wrong);
    return mpi::all_reduce(world_, wrong, mpi::Reduction::sum, kDeadlineS);
  }

 private:
  std::int64_t direct_ns() {
    const std::int64_t begin_ns = clock_.now_ns();
    const auto ticket = fabric_.start(comm(), graph_, buffers_);
    step::CommState state = step::CommState::pending;
    while ((state = fabric_.test(ticket)) == step::CommState::pending) {
    }
    const std::int64_t end_ns = clock_.now_ns();
    if (state == step::CommState::failed)
      throw std::runtime_error(fabric_.error_text(ticket));
    return end_ns - begin_ns;
  }
  [[nodiscard]] const step::Comm& comm() const { return std::get<step::Comm>(graph_.ops.front().work); }
  [[nodiscard]] int count() const { return static_cast<int>(comm().elements); }
  float* from() { return buffers_.floats(comm().from); }
  float* to() { return buffers_.floats(comm().to); }

  const mpi::Communicator& world_;
  FastClock& clock_;
  step::StepGraph graph_;
  fabric::MpiFabric fabric_;
  step::BufferSet buffers_;
  fabric::PatternValidator validator_;
  NoCompute compute_;
  std::vector<step::OpStamp> ops_;
  std::vector<step::CommStamp> comms_;
  std::vector<step::StepStamp> steps_;
  std::unique_ptr<step::Executor> executor_;
};

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  if (values.size() % 2 == 1)
    return *middle;
  return (*middle + *std::max_element(values.begin(), middle)) / 2;
}

struct Medians {
  double lockstep_us = 0.0;
  double nonblocking_us = 0.0;
  double blocking_us = 0.0;
  double paired_ratio = 0.0;  ///< of Lockstep's time to MPI_Iallreduce + MPI_Wait in the same repetition
  std::int64_t wrong = 0;
};

Medians run_contest(const mpi::Communicator& world, const Options& options, std::uint64_t elements,
                    FastClock& clock) {
  Contest contest(world, options, elements, clock);
  const std::array<std::function<std::int64_t(std::uint32_t)>, 3> contenders{
      [&](std::uint32_t step) { return contest.lockstep_ns(step); },
      [&](std::uint32_t) { return contest.plain_nonblocking_ns(); },
      [&](std::uint32_t) { return contest.plain_blocking_ns(); }};
  std::array<std::vector<double>, 3> times;
  for (std::uint32_t repetition = 0; repetition < options.warmups + options.repetitions; ++repetition) {
    for (std::uint32_t turn = 0; turn < contenders.size(); ++turn) {
      const std::size_t which = (turn + repetition) % contenders.size();
      mpi::check(MPI_Barrier(world.handle()), "MPI_Barrier");
      const auto time_ns = static_cast<double>(contenders[which](repetition));
      if (repetition >= options.warmups)
        times[which].push_back(time_ns);
    }
    clock.discipline();
  }
  // Worst rank first.
  for (std::vector<double>& of_contender : times)
    of_contender = mpi::all_reduce(world, of_contender, mpi::Reduction::max, kDeadlineS);
  std::vector<double> ratios;
  for (std::size_t i = 0; i < times[0].size(); ++i)
    ratios.push_back(times[0][i] / times[1][i]);
  return {median(times[0]) / 1e3, median(times[1]) / 1e3, median(times[2]) / 1e3, median(ratios),
          contest.wrong_elements()};
}

void run(const mpi::Communicator& world, const Options& options) {
  FastClock clock;
  const bool prints = world.rank() == 0;
  if (prints) {
    fmt::print(
        "# all_reduce, {} ranks, {} repetitions, driver {}, waits by {}; times: median over repetitions of "
        "the "
        "slowest rank, us; bandwidths: GB/s (1e9)\n",
        world.size(), options.repetitions, options.driver == Driver::executor ? "executor" : "direct",
        options.driver == Driver::executor ? step::to_string(options.wait) : "spin");
    fmt::print("{:>10} {:>10} {:>6} {:>6} {:>10} {:>8} {:>8} {:>7} | {:>14} {:>14} {:>7} {:>7}\n", "size",
               "count", "type", "redop", "time", "algbw", "busbw", "#wrong", "iallreduce+wait", "allreduce",
               "ratio", "paired");
  }
  const double ranks = world.size();
  for (std::uint64_t bytes = 4096; bytes <= (16U << 20); bytes *= 4) {
    const std::uint64_t elements = bytes / sizeof(float);
    const Medians medians = run_contest(world, options, elements, clock);
    if (!prints)
      continue;
    const double algbw = static_cast<double>(bytes) / medians.lockstep_us / 1e3;
    fmt::print(
        "{:>10} {:>10} {:>6} {:>6} {:>10.2f} {:>8.3f} {:>8.3f} {:>7} | {:>15.2f} {:>14.2f} {:>7.3f} "
        "{:>7.3f}\n",
        bytes, elements, "float", "sum", medians.lockstep_us, algbw, algbw * 2 * (ranks - 1) / ranks,
        medians.wrong, medians.nonblocking_us, medians.blocking_us,
        medians.lockstep_us / medians.nonblocking_us, medians.paired_ratio);
    std::fflush(stdout);
  }
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("All-reduce as Lockstep times it, against plain MPI timing loops. Run it under mpirun.");
  app.add_option("--repetitions", options.repetitions, "of each contender and size")
      ->check(CLI::Range(1U, 1'000'000U))
      ->capture_default_str();
  app.add_option("--driver", options.driver,
                 "executor: stamps of step::Executor; direct: a start-and-test loop")
      ->transform(CLI::CheckedTransformer(std::vector<std::pair<std::string, Driver>>{
          {"executor", Driver::executor}, {"direct", Driver::direct}}));
  app.add_option("--wait", options.wait, "how the executor waits: spin or backoff")
      ->transform(CLI::CheckedTransformer(std::vector<std::pair<std::string, step::WaitMode>>{
          {"spin", step::WaitMode::spin}, {"backoff", step::WaitMode::backoff}}));
  CLI11_PARSE(app, argc, argv);
  try {
    const mpi::Environment environment(argc, argv);
    run(mpi::Communicator::world(), options);
  } catch (const std::exception& error) {
    fmt::print(stderr, "bench_allreduce: {}\n", error.what());
    return 5;
  }
  return 0;
}
