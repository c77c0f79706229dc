#include <algorithm>
#include <atomic>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "harness/step/executor.hpp"
#include "tests/step/small_graph.hpp"

namespace lockstep::step {
namespace {

using testing_support::SmallGraph;

/// Notes the order in which things happened, from both threads.
class Diary {
 public:
  void note(const std::string& what) {
    const std::lock_guard lock(mutex_);
    entries_.push_back(what);
  }
  [[nodiscard]] std::size_t position(const std::string& what) {
    const std::lock_guard lock(mutex_);
    for (std::size_t i = 0; i < entries_.size(); ++i) {
      if (entries_[i] == what)
        return i;
    }
    ADD_FAILURE() << what << " never happened";
    return entries_.size();
  }
  [[nodiscard]] bool has(const std::string& what) {
    const std::lock_guard lock(mutex_);
    return std::find(entries_.begin(), entries_.end(), what) != entries_.end();
  }
  [[nodiscard]] std::size_t size() {
    const std::lock_guard lock(mutex_);
    return entries_.size();
  }

 private:
  std::mutex mutex_;
  std::vector<std::string> entries_;
};

class FakeCompute final : public ComputeBackend {
 public:
  explicit FakeCompute(Diary& diary) : diary_(diary) {}
  void run(const Op& op, BufferSet& /*buffers*/, std::int64_t ready_ns) override {
    if (before)
      before(op);
    EXPECT_GT(ready_ns, 0);
    diary_.note("end " + op.name);
  }
  [[nodiscard]] std::string name() const override { return "fake"; }
  [[nodiscard]] int busy_threads() const override { return 0; }
  [[nodiscard]] BufferSet::Need buffers_needed() const override { return BufferSet::Need::all; }
  std::function<void(const Op&)> before;

 private:
  Diary& diary_;
};

/// Completes an operation when the test's rule says so; by default at the third look.
class FakeFabric final : public FabricBackend {
 public:
  explicit FakeFabric(Diary& diary) : diary_(diary) {}
  Ticket start(const Comm& comm, const StepGraph& graph, BufferSet& buffers) override {
    for (std::uint32_t i = 0; i < graph.ops.size(); ++i) {
      if (std::get_if<Comm>(&graph.ops[i].work) == &comm)
        diary_.note("start " + graph.ops[i].name);
    }
    std::copy_n(buffers.floats(comm.from), comm.elements, buffers.floats(comm.to));
    looks_.push_back(0);
    in_flight_most = std::max(in_flight_most, ++in_flight_);
    return static_cast<Ticket>(looks_.size() - 1);
  }
  CommState test(Ticket ticket) override {
    ++looks_[ticket];
    const CommState state = rule ? rule(ticket) : (looks_[ticket] < 3 ? CommState::pending : CommState::done);
    if (state == CommState::done)
      --in_flight_;
    return state;
  }
  [[nodiscard]] std::string error_text(Ticket /*ticket*/) const override { return "cable cut"; }
  [[nodiscard]] std::string name() const override { return "fake"; }
  std::function<CommState(Ticket)> rule;
  int in_flight_most = 0;

 private:
  Diary& diary_;
  std::vector<int> looks_;
  int in_flight_ = 0;
};

class FakeValidator final : public Validator {
 public:
  void plant(std::uint32_t step, std::uint32_t comm_index, const Comm& comm, BufferSet& buffers) override {
    *buffers.floats(comm.from) = static_cast<float>(step + comm_index + 1);
    ++planted;
  }
  [[nodiscard]] ValidationResult check(std::uint32_t step, std::uint32_t comm_index, const Comm& comm,
                                       BufferSet& buffers) override {
    const auto expected = static_cast<double>(step + comm_index + 1);
    const double observed = static_cast<double>(*buffers.floats(comm.to)) + error;
    return {step + 100ULL, observed != expected ? 1ULL : 0ULL, {0, expected, observed}};
  }
  int planted = 0;
  double error = 0.0;
};

/// Memory for a recording of `steps` steps that keeps the ops of `kept`.
struct RecordingMemory {
  RecordingMemory(const StepGraph& graph, std::uint32_t step_count, std::uint32_t kept)
      : ops(kept * graph.ops.size()), comms(step_count * graph.comm_ops().size()), steps(step_count) {
    view = {ops,
            comms,
            steps,
            static_cast<std::uint32_t>(graph.ops.size()),
            static_cast<std::uint32_t>(graph.comm_ops().size()),
            kept};
  }
  std::vector<OpStamp> ops;
  std::vector<CommStamp> comms;
  std::vector<StepStamp> steps;
  Recording view;
};

class ExecutorTest : public testing::TestWithParam<WaitMode> {
 protected:
  ExecutorOptions options() const {
    ExecutorOptions made;
    made.wait = GetParam();
    made.validation_share = 0.0;
    return made;
  }
  Diary diary_;
  FakeCompute compute_{diary_};
  FakeFabric fabric_{diary_};
  FakeValidator validator_;
  FastClock clock_;
};

TEST_P(ExecutorTest, OverlapsCommunicationWithComputeAndKeepsDependencies) {
  SmallGraph small({{2}});
  const OpId a = small.gemm("a");
  const OpId reduce_a = small.all_reduce("reduce_a", {a});
  const OpId b = small.gemm("b");
  const OpId reduce_b = small.all_reduce("reduce_b", {b});
  small.gemm("optimizer", {reduce_a, reduce_b});
  BufferSet buffers(small.graph(), BufferSet::Need::all, RankId{0});
  RecordingMemory memory(small.graph(), 4, 2);

  // b ends only after reduce_a has begun, and reduce_a ends only after b has ended: possible only side by
  // side.
  std::atomic<bool> reduce_a_started{false};
  std::atomic<bool> b_ended{false};
  compute_.before = [&](const Op& op) {
    while (op.name == "b" && !reduce_a_started)
      std::this_thread::yield();
    if (op.name == "optimizer")
      b_ended = false;
    if (op.name == "a")
      reduce_a_started = false;
    if (op.name == "b")
      b_ended = true;
  };
  fabric_.rule = [&](FabricBackend::Ticket) {
    reduce_a_started = true;
    return b_ended ? CommState::done : CommState::pending;
  };
  Executor executor(small.graph(), compute_, fabric_, buffers, clock_, memory.view, nullptr, options());
  for (std::uint32_t step = 0; step < 4; ++step) {
    const StepResult result = executor.run_step(step, step == 0 ? kStepWarmup : 0U);
    ASSERT_EQ(result.status, StepStatus::completed);
  }
  EXPECT_LT(diary_.position("end a"), diary_.position("start reduce_a"));
  EXPECT_LT(diary_.position("start reduce_a"), diary_.position("end b"));
  EXPECT_LT(diary_.position("start reduce_b"), diary_.position("end optimizer"));
  EXPECT_EQ(diary_.size(), 4U * 5);

  for (std::uint32_t step = 0; step < 4; ++step) {
    const StepStamp& stamp = memory.steps[step];
    EXPECT_EQ(stamp.step, step);
    EXPECT_EQ(stamp.flags, step == 0 ? kStepWarmup : 0U);
    EXPECT_LE(stamp.begin_ns, stamp.end_ns);
    EXPECT_LE(stamp.compute_ns + stamp.exposed_ns, stamp.end_ns - stamp.begin_ns);
    for (std::uint32_t comm = 0; comm < 2; ++comm) {
      const CommStamp& made = memory.comms[step * 2 + comm];
      EXPECT_EQ(made.step, step);
      EXPECT_EQ(made.op, comm == 0 ? reduce_a.value() : reduce_b.value());
      EXPECT_GE(made.begin_ns, stamp.begin_ns);
      EXPECT_GE(made.end_ns, made.begin_ns);
      EXPECT_LE(made.end_ns, stamp.end_ns);
      EXPECT_LE(made.exposed_ns, stamp.exposed_ns);
    }
  }
  for (std::uint32_t slot = 0; slot < 2; ++slot) {  // the ring keeps steps 2 and 3
    for (std::uint32_t op = 0; op < 5; ++op) {
      EXPECT_EQ(memory.ops[slot * 5 + op].step, 2 + slot);
      EXPECT_EQ(memory.ops[slot * 5 + op].op, op);
      EXPECT_GT(memory.ops[slot * 5 + op].end_ns, 0);
    }
  }
}

TEST_P(ExecutorTest, CountsTheTimeThatComputeStoodStill) {
  SmallGraph small({{2}});
  const OpId a = small.gemm("a");
  const OpId reduce = small.all_reduce("reduce", {a});
  small.gemm("optimizer", {reduce});
  small.all_reduce("trailing", {a});
  BufferSet buffers(small.graph(), BufferSet::Need::all, RankId{0});
  RecordingMemory memory(small.graph(), 1, 1);
  // The first operation ends long after compute began to wait for it, the second long after compute ended;
  // "long" is against the time in which a thread is surely scheduled.
  constexpr std::int64_t kHoldNs = 100'000'000;
  std::atomic<bool> last_gemm_ran{false};
  compute_.before = [&](const Op& op) { last_gemm_ran = op.name == "optimizer"; };
  std::int64_t first_until = 0;
  std::int64_t second_until = 0;
  fabric_.rule = [&](FabricBackend::Ticket ticket) {
    std::int64_t& until = ticket == 0 ? first_until : second_until;
    if (until == 0 && (ticket == 0 || last_gemm_ran))
      until = monotonic_ns() + kHoldNs;
    return until != 0 && monotonic_ns() >= until ? CommState::done : CommState::pending;
  };
  Executor executor(small.graph(), compute_, fabric_, buffers, clock_, memory.view, nullptr, options());
  ASSERT_EQ(executor.run_step(0, 0).status, StepStatus::completed);
  EXPECT_EQ(fabric_.in_flight_most, 2);
  const StepStamp& step = memory.steps[0];
  const auto& awaited = memory.comms[0];
  const auto& trailing = memory.comms[1];
  EXPECT_GT(awaited.exposed_ns, 0);
  EXPECT_GT(trailing.exposed_ns, 0) << "a communication that outlasts compute is exposed too";
  EXPECT_EQ(step.exposed_ns, awaited.exposed_ns + trailing.exposed_ns);
  EXPECT_LE(step.exposed_ns, step.end_ns - step.begin_ns);
}

TEST_P(ExecutorTest, GivesUpAtTheDeadlineAndNamesTheOp) {
  SmallGraph small({{2}});
  const OpId a = small.gemm("a");
  const OpId stuck = small.all_reduce("stuck", {a});
  small.gemm("optimizer", {stuck});
  BufferSet buffers(small.graph(), BufferSet::Need::all, RankId{0});
  RecordingMemory memory(small.graph(), 1, 1);
  fabric_.rule = [](FabricBackend::Ticket) { return CommState::pending; };
  ExecutorOptions hasty = options();
  hasty.op_deadline_s = 0.01;
  Executor executor(small.graph(), compute_, fabric_, buffers, clock_, memory.view, nullptr, hasty);
  const StepResult result = executor.run_step(0, 0);
  EXPECT_EQ(result.status, StepStatus::deadline);
  EXPECT_EQ(result.op, stuck);
  EXPECT_GT(memory.comms[0].begin_ns, 0);
  EXPECT_EQ(memory.comms[0].end_ns, 0) << "begun and never completed";
  EXPECT_EQ(memory.steps[0].end_ns, 0);
}

TEST_P(ExecutorTest, EachCommunicationHasItsOwnDeadline) {
  SmallGraph small({{2}});
  small.all_reduce("patient", {});
  const OpId hasty = small.all_reduce("hasty", {});
  BufferSet buffers(small.graph(), BufferSet::Need::all, RankId{0});
  fabric_.rule = [](FabricBackend::Ticket) { return CommState::pending; };
  const std::vector<std::int64_t> deadlines_ns{60'000'000'000, 10'000'000};
  ExecutorOptions two = options();
  two.op_deadlines_ns = deadlines_ns;
  Executor executor(small.graph(), compute_, fabric_, buffers, clock_, Recording{}, nullptr, two);
  const StepResult result = executor.run_step(0, 0);
  EXPECT_EQ(result.status, StepStatus::deadline);
  EXPECT_EQ(result.op, hasty) << "though the other one began before it";
}

TEST_P(ExecutorTest, TellsThatTheThreadItselfStoodStill) {
  SmallGraph small({{2}});
  small.all_reduce("stuck", {});
  BufferSet buffers(small.graph(), BufferSet::Need::all, RankId{0});
  int looks = 0;
  fabric_.rule = [&looks](FabricBackend::Ticket) {
    if (++looks == 3)
      sleep_until_ns(monotonic_ns() + 60'000'000);  // as if the process had been stopped
    return CommState::pending;
  };
  ExecutorOptions hasty = options();
  hasty.op_deadline_s = 0.05;
  Executor executor(small.graph(), compute_, fabric_, buffers, clock_, Recording{}, nullptr, hasty);
  const StepResult result = executor.run_step(0, 0);
  EXPECT_EQ(result.status, StepStatus::deadline);
  EXPECT_GE(result.stood_still_ns, 59'000'000);
}

TEST_P(ExecutorTest, TellsHowLongCommunicationsTook) {
  SmallGraph small({{2}});
  small.all_reduce("comm", {small.gemm("a")});
  BufferSet buffers(small.graph(), BufferSet::Need::all, RankId{0});
  RecordingMemory memory(small.graph(), 1, 1);
  Executor executor(small.graph(), compute_, fabric_, buffers, clock_, memory.view, nullptr, options());
  ASSERT_EQ(executor.run_step(0, 0).status, StepStatus::completed);
  ASSERT_EQ(executor.comm_times_ns().size(), 1U);
  EXPECT_EQ(executor.comm_times_ns()[0], memory.comms[0].end_ns - memory.comms[0].begin_ns);
}

TEST_P(ExecutorTest, EntersNoCommunicationWhileItIsHeld) {
  SmallGraph small({{2}});
  small.all_reduce("comm", {small.gemm("a")});
  BufferSet buffers(small.graph(), BufferSet::Need::all, RankId{0});
  RecordingMemory memory(small.graph(), 1, 1);
  std::atomic<bool> hold{true};
  ExecutorOptions held = options();
  held.hold = &hold;
  Executor executor(small.graph(), compute_, fabric_, buffers, clock_, memory.view, nullptr, held);
  std::int64_t let_go_ns = 0;
  std::thread other([&] {
    while (!diary_.has("end a"))
      std::this_thread::yield();
    sleep_until_ns(monotonic_ns() + 5'000'000);
    let_go_ns = monotonic_ns();
    hold.store(false);
  });
  const StepResult result = executor.run_step(0, 0);
  other.join();
  EXPECT_EQ(result.status, StepStatus::completed);
  EXPECT_GT(memory.comms[0].begin_ns, let_go_ns - 100'000) << "two clocks are compared, hence the allowance";
}

TEST_P(ExecutorTest, ReportsWhatTheTransportSays) {
  SmallGraph small({{2}});
  const OpId comm = small.all_reduce("comm");
  BufferSet buffers(small.graph(), BufferSet::Need::all, RankId{0});
  fabric_.rule = [](FabricBackend::Ticket) { return CommState::failed; };
  Executor executor(small.graph(), compute_, fabric_, buffers, clock_, Recording{}, nullptr, options());
  const StepResult result = executor.run_step(0, 0);
  EXPECT_EQ(result.status, StepStatus::transport_error);
  EXPECT_EQ(result.op, comm);
  EXPECT_EQ(result.message, "cable cut");
}

TEST_P(ExecutorTest, ChecksDataInItsShareOfTheSteps) {
  SmallGraph small({{2}});
  small.all_reduce("first", {small.gemm("a")});
  small.all_reduce("second", {});
  BufferSet buffers(small.graph(), BufferSet::Need::all, RankId{0});
  RecordingMemory memory(small.graph(), 8, 1);
  ExecutorOptions checked = options();
  checked.validation_share = 0.25;
  Executor executor(small.graph(), compute_, fabric_, buffers, clock_, memory.view, &validator_, checked);
  for (std::uint32_t step = 0; step < 4; ++step)
    EXPECT_TRUE(executor.run_step(step, 0).corruptions.empty());
  EXPECT_EQ(validator_.planted, 2);
  EXPECT_EQ(memory.steps[0].flags, kStepValidated);
  EXPECT_NE(memory.steps[0].checksum, 0U);
  EXPECT_EQ(memory.steps[1].flags, 0U);
  validator_.error = 0.5;
  const StepResult result = executor.run_step(4, 0);
  ASSERT_EQ(result.corruptions.size(), 2U);
  EXPECT_EQ(result.corruptions[0].op, OpId{1});
  EXPECT_EQ(result.corruptions[1].op, OpId{2});
  EXPECT_DOUBLE_EQ(result.corruptions[1].first.observed - result.corruptions[1].first.expected, 0.5);
  EXPECT_EQ(memory.steps[4].flags, kStepValidated | kStepCorrupt);
  static_cast<void>(executor.run_step(5, kStepWarmup | kStepValidated));  // asked for, out of turn
  EXPECT_EQ(memory.steps[5].flags, kStepWarmup | kStepValidated | kStepCorrupt);
}

/// A backend that takes ops ahead of time. They end when the test says so.
class QueuedCompute final : public ComputeBackend, public ComputeQueue {
 public:
  explicit QueuedCompute(const StepGraph& graph) : graph_(graph) {}
  void run(const Op& op, BufferSet& /*buffers*/, std::int64_t /*ready_ns*/) override {
    ADD_FAILURE() << op.name << " was not queued";
  }
  [[nodiscard]] ComputeQueue* queue() override { return this; }
  [[nodiscard]] std::string name() const override { return "queued"; }
  [[nodiscard]] int busy_threads() const override { return 0; }
  [[nodiscard]] BufferSet::Need buffers_needed() const override { return BufferSet::Need::all; }
  [[nodiscard]] std::vector<WrongProduct> check_products(std::uint32_t step,
                                                         BufferSet& /*buffers*/) override {
    checked_steps.push_back(step);
    if (check_fails)
      throw std::runtime_error("the card has fallen off");
    return wrong;
  }

  void begin_step() override {
    ops_.clear();
    submitted_ns_.clear();
    times_.clear();
    done_ = 0;
    stretches.emplace_back();
  }
  void submit(std::span<const OpId> ops, BufferSet& /*buffers*/) override {
    std::string names;
    for (const OpId op : ops) {
      ops_.push_back(op);
      submitted_ns_.push_back(monotonic_ns());
      names += (names.empty() ? "" : " ") + graph_.op(op).name;
    }
    stretches.back().push_back(names);
    if (fails_at == stretches.back().size())
      throw std::runtime_error("launch failure");
  }
  [[nodiscard]] std::size_t completed() override {
    while (done_ < ops_.size() && (!may_end || may_end(graph_.op(ops_[done_])))) {
      const std::int64_t free_ns = times_.empty() ? 0 : times_.back().end_ns;
      times_.push_back({std::max(submitted_ns_[done_], free_ns), monotonic_ns()});
      if (ends_too_late)
        times_.back().end_ns += 10'000'000'000;
      ++done_;
    }
    return done_;
  }
  [[nodiscard]] std::span<const OpTimes> times() override { return times_; }

  std::function<bool(const Op&)> may_end;
  std::vector<std::vector<std::string>> stretches;  // of each step
  std::size_t fails_at = 0;
  bool ends_too_late = false;
  bool check_fails = false;
  std::vector<WrongProduct> wrong;
  std::vector<std::uint32_t> checked_steps;

 private:
  const StepGraph& graph_;
  std::vector<OpId> ops_;
  std::vector<std::int64_t> submitted_ns_;
  std::vector<OpTimes> times_;
  std::size_t done_ = 0;
};

TEST_P(ExecutorTest, GivesAQueueWholeStretchesAndKeepsDependencies) {
  SmallGraph small({{2}});
  const OpId a = small.gemm("a");
  const OpId reduce_a = small.all_reduce("reduce_a", {a});
  const OpId b = small.gemm("b");
  const OpId reduce_b = small.all_reduce("reduce_b", {b});
  small.gemm("optimizer", {reduce_a, reduce_b});
  small.gemm("last");
  BufferSet buffers(small.graph(), BufferSet::Need::all, RankId{0});
  RecordingMemory memory(small.graph(), 3, 2);
  QueuedCompute queued(small.graph());
  // b ends only after reduce_a has begun, and reduce_a ends only after b has ended.
  std::atomic<bool> reduce_a_started{false};
  std::atomic<bool> b_ended{false};
  queued.may_end = [&](const Op& op) {
    if (op.name == "a")
      reduce_a_started = b_ended = false;
    if (op.name == "b" && !reduce_a_started)
      return false;
    b_ended = b_ended || op.name == "b";
    return true;
  };
  fabric_.rule = [&](FabricBackend::Ticket) {
    reduce_a_started = true;
    return b_ended ? CommState::done : CommState::pending;
  };
  Executor executor(small.graph(), queued, fabric_, buffers, clock_, memory.view, nullptr, options());
  for (std::uint32_t step = 0; step < 3; ++step) {
    ASSERT_EQ(executor.run_step(step, 0).status, StepStatus::completed);
    EXPECT_EQ(queued.stretches[step], (std::vector<std::string>{"a b", "optimizer last"}));
    const StepStamp& stamp = memory.steps[step];
    EXPECT_GT(stamp.compute_ns, 0);
    EXPECT_LE(stamp.compute_ns + stamp.exposed_ns, stamp.end_ns - stamp.begin_ns);
    std::int64_t before_ns = stamp.begin_ns;
    for (const std::uint32_t op : {0U, 2U, 4U, 5U}) {
      const OpStamp& made = memory.view.op(step, op);
      EXPECT_EQ(made.step, step);
      EXPECT_GE(made.begin_ns, before_ns);
      EXPECT_GE(made.end_ns, made.begin_ns);
      EXPECT_LE(made.end_ns, stamp.end_ns);
      before_ns = made.end_ns;
    }
  }
  EXPECT_LT(diary_.position("start reduce_a"), diary_.position("start reduce_b"));
}

TEST_P(ExecutorTest, TheTimeThatAQueueStoodStillIsChargedToWhatItWaitedFor) {
  SmallGraph small({{2}});
  const OpId a = small.gemm("a");
  const OpId reduce = small.all_reduce("reduce", {a});
  small.gemm("optimizer", {reduce});
  BufferSet buffers(small.graph(), BufferSet::Need::all, RankId{0});
  RecordingMemory memory(small.graph(), 1, 1);
  QueuedCompute queued(small.graph());
  constexpr std::int64_t kHoldNs = 50'000'000;
  std::int64_t until_ns = 0;
  fabric_.rule = [&](FabricBackend::Ticket) {
    if (until_ns == 0)
      until_ns = monotonic_ns() + kHoldNs;
    return monotonic_ns() >= until_ns ? CommState::done : CommState::pending;
  };
  Executor executor(small.graph(), queued, fabric_, buffers, clock_, memory.view, nullptr, options());
  ASSERT_EQ(executor.run_step(0, 0).status, StepStatus::completed);
  EXPECT_GE(memory.comms[0].exposed_ns, kHoldNs - 1'000'000) << "from the end of a, as the queue measured it";
  EXPECT_EQ(memory.steps[0].exposed_ns, memory.comms[0].exposed_ns);
}

TEST_P(ExecutorTest, TimesOfAQueueStayWithinTheStep) {
  SmallGraph small({{2}});
  small.gemm("a");
  BufferSet buffers(small.graph(), BufferSet::Need::all, RankId{0});
  RecordingMemory memory(small.graph(), 1, 1);
  QueuedCompute queued(small.graph());
  queued.ends_too_late = true;  // a device's clock that is wrong
  Executor executor(small.graph(), queued, fabric_, buffers, clock_, memory.view, nullptr, options());
  ASSERT_EQ(executor.run_step(0, 0).status, StepStatus::completed);
  EXPECT_LE(memory.ops[0].end_ns, memory.steps[0].end_ns);
  EXPECT_LE(memory.steps[0].compute_ns, memory.steps[0].end_ns - memory.steps[0].begin_ns);
}

TEST_P(ExecutorTest, AComputeBackendThatFailsEndsTheStep) {
  SmallGraph small({{2}});
  const OpId a = small.gemm("a");
  const OpId reduce = small.all_reduce("reduce", {a});
  const OpId b = small.gemm("b", {reduce});
  small.all_reduce("never", {b});
  BufferSet buffers(small.graph(), BufferSet::Need::all, RankId{0});
  {
    QueuedCompute queued(small.graph());
    queued.fails_at = 2;
    Executor executor(small.graph(), queued, fabric_, buffers, clock_, Recording{}, nullptr, options());
    const StepResult result = executor.run_step(0, 0);
    EXPECT_EQ(result.status, StepStatus::compute_error);
    EXPECT_EQ(result.op, b);
    EXPECT_EQ(result.message, "launch failure");
  }
  compute_.before = [](const Op& op) {
    if (op.name == "b")
      throw std::runtime_error("broken");
  };
  Executor executor(small.graph(), compute_, fabric_, buffers, clock_, Recording{}, nullptr, options());
  const StepResult result = executor.run_step(0, 0);
  EXPECT_EQ(result.status, StepStatus::compute_error);
  EXPECT_EQ(result.op, b);
  EXPECT_EQ(result.message, "broken");
}

TEST_P(ExecutorTest, ChecksProductsInTheStepBeforeOneWhoseDataAreChecked) {
  SmallGraph small({{2}});
  small.all_reduce("comm", {small.gemm("a")});
  BufferSet buffers(small.graph(), BufferSet::Need::all, RankId{0});
  RecordingMemory memory(small.graph(), 12, 1);
  QueuedCompute queued(small.graph());
  ExecutorOptions checked = options();
  checked.validation_share = 0.25;
  Executor executor(small.graph(), queued, fabric_, buffers, clock_, memory.view, &validator_, checked);
  for (std::uint32_t step = 0; step < 8; ++step)
    EXPECT_TRUE(executor.run_step(step, 0).wrong_products.empty());
  EXPECT_EQ(queued.checked_steps, (std::vector<std::uint32_t>{3, 7}));
  queued.wrong = {{OpId{0}, 1, 7, 1.0, 2.0, 0.1}};
  for (std::uint32_t step = 8; step < 11; ++step)
    EXPECT_TRUE(executor.run_step(step, 0).wrong_products.empty());
  const StepResult result = executor.run_step(11, 0);
  ASSERT_EQ(result.wrong_products.size(), 1U);
  EXPECT_EQ(result.wrong_products[0].column, 7U);
  EXPECT_EQ(memory.steps[11].flags, kStepCorrupt);
}

TEST_P(ExecutorTest, ACheckThatTheCardDoesNotSurviveEndsTheStep) {
  SmallGraph small({{2}});
  small.all_reduce("comm", {small.gemm("a")});
  BufferSet buffers(small.graph(), BufferSet::Need::all, RankId{0});
  QueuedCompute queued(small.graph());
  queued.check_fails = true;
  ExecutorOptions checked = options();
  checked.validation_share = 0.5;
  Executor executor(small.graph(), queued, fabric_, buffers, clock_, Recording{}, &validator_, checked);
  ASSERT_EQ(executor.run_step(0, 0).status, StepStatus::completed);
  const StepResult result = executor.run_step(1, 0);
  EXPECT_EQ(result.status, StepStatus::compute_error);
  EXPECT_EQ(result.message, "the card has fallen off");
}

INSTANTIATE_TEST_SUITE_P(WaitModes, ExecutorTest, testing::Values(WaitMode::spin, WaitMode::backoff),
                         [](const auto& mode) { return std::string(to_string(mode.param)); });

TEST(ValidatedSteps, AreTheAskedShareEvenlySpread) {
  for (const double share : {0.1, 0.25, 0.3, 1.0}) {
    int count = 0;
    for (std::uint32_t step = 0; step < 1000; ++step)
      count += is_validated_step(step, share) ? 1 : 0;
    EXPECT_NEAR(count, 1000 * share, 1) << share;
    EXPECT_TRUE(is_validated_step(0, share));
  }
  EXPECT_FALSE(is_validated_step(0, 0.0));
  EXPECT_FALSE(is_product_checked_step(0, 0.0));
  EXPECT_FALSE(is_product_checked_step(5, 1.0));
  EXPECT_TRUE(is_product_checked_step(9, 0.1));
  EXPECT_FALSE(is_product_checked_step(10, 0.1));
}

}  // namespace
}  // namespace lockstep::step
