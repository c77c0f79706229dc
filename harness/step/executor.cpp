#include "harness/step/executor.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include <sched.h>
#include <sys/prctl.h>

#include "harness/core/error.hpp"
#include "harness/core/hash.hpp"
#include "harness/step/executor_plan.hpp"

namespace lockstep::step {
namespace {

constexpr std::int64_t kYieldNs = 100'000;
constexpr std::int64_t kShortestSleepNs = 20'000;
constexpr std::int64_t kLongestSleepNs = 100'000;
constexpr std::int64_t kHeldNs = 1'000'000'000;  // as if idle for so long
constexpr std::int64_t kDisciplineEveryNs = 500'000'000;

}  // namespace

const char* to_string(WaitMode mode) {
  return mode == WaitMode::spin ? "spin" : "backoff";
}

bool is_validated_step(std::uint32_t step, double share) {
  if (share <= 0.0)
    return false;
  // Steps 0, 1/share, 2/share, ...: a step is taken when the count of taken ones grows with it.
  return std::ceil((step + 1) * share - 1e-9) > std::ceil(step * share - 1e-9);
}

bool is_product_checked_step(std::uint32_t step, double share) {
  return !is_validated_step(step, share) && is_validated_step(step + 1, share);
}

Executor::Executor(const StepGraph& graph, ComputeBackend& compute, FabricBackend& fabric, BufferSet& buffers,
                   FastClock& clock, const Recording& recording, Validator* validator,
                   const ExecutorOptions& options)
    : graph_(graph),
      compute_(compute),
      queue_(compute.queue()),
      fabric_(fabric),
      buffers_(buffers),
      clock_(clock),
      recording_(recording),
      validator_(validator),
      options_(options),
      plan_(std::make_unique<Plan>(graph)),
      done_epoch_(graph.ops.size()),
      done_ns_(graph.ops.size(), 0),
      comm_begin_ns_(plan_->comm.size(), 0),
      comm_ns_(plan_->comm.size(), 0),
      exposed_ns_(plan_->comm.size(), 0),
      tickets_(plan_->comm.size(), 0) {
  graph_.check();
  LOCKSTEP_EXPECT(recording_.steps.empty() || (recording_.ops_per_step == graph_.ops.size() &&
                                               recording_.comms_per_step == plan_->comm.size()),
                  "the recording was made for another graph");
  in_flight_.reserve(plan_->comm.size());
  if (options_.op_deadlines_ns.empty()) {
    own_deadlines_ns_.assign(plan_->comm.size(), static_cast<std::int64_t>(options_.op_deadline_s * 1e9));
    options_.op_deadlines_ns = own_deadlines_ns_;
  }
  LOCKSTEP_EXPECT(options_.op_deadlines_ns.size() == plan_->comm.size(), "one deadline a communication");
  prctl(PR_SET_TIMERSLACK, 1UL);  // else the kernel may add 50 us to every sleep
  compute_thread_ = std::thread([this] { compute_loop(); });
}

Executor::~Executor() {
  stop_.store(true, std::memory_order_release);
  go_.fetch_add(1, std::memory_order_release);
  go_.notify_all();
  comm_events_.fetch_add(1, std::memory_order_release);
  comm_events_.notify_all();
  compute_thread_.join();
}

void Executor::record_begin(std::uint32_t step, OpId op, std::int64_t now_ns) {
  OpStamp& stamp = recording_.op(step, op.value());
  publish(stamp.end_ns, 0);
  stamp.step = step;
  stamp.op = op.value();
  publish(stamp.begin_ns, now_ns);
}

void Executor::record_end(std::uint32_t step, OpId op, std::int64_t now_ns) {
  publish(recording_.op(step, op.value()).end_ns, now_ns);
}

void Executor::compute_loop() {
  prctl(PR_SET_TIMERSLACK, 1UL);
  std::uint32_t seen = 0;
  while (true) {
    await(go_, [&] { return go_.load(std::memory_order_acquire) != seen; });
    seen = go_.load(std::memory_order_acquire);
    if (stop_.load(std::memory_order_acquire))
      return;
    try {
      if (queue_ != nullptr)
        run_queued_ops(step_);
      else
        run_compute_ops(step_);
    } catch (const std::exception& error) {
      compute_error_ = error.what();
      compute_failed_.store(true, std::memory_order_release);
      compute_events_.fetch_add(1, std::memory_order_release);
      compute_events_.notify_all();
      return;
    }
    compute_finished_.store(epoch_, std::memory_order_release);
    compute_events_.fetch_add(1, std::memory_order_release);
    compute_events_.notify_all();
  }
}

void Executor::await_comm(std::size_t comm_index) {
  const auto& done = done_epoch_[plan_->comm[comm_index].op.value()];
  if (done.load(std::memory_order_acquire) == epoch_)
    return;
  const std::int64_t from = clock_.now_ns();
  await(comm_events_, [&] {
    return stop_.load(std::memory_order_acquire) || done.load(std::memory_order_acquire) == epoch_;
  });
  exposed_ns_[comm_index] += clock_.now_ns() - from;
}

void Executor::run_compute_ops(std::uint32_t step) {
  const bool recorded = !recording_.ops.empty();
  std::int64_t busy_ns = 0;
  for (const Plan::ComputeOp& entry : plan_->compute) {
    std::int64_t ready_ns = step_begin_ns_;
    for (const std::size_t comm_index : entry.awaited) {
      await_comm(comm_index);
      ready_ns = std::max(ready_ns, done_ns_[plan_->comm[comm_index].op.value()]);
    }
    if (stop_.load(std::memory_order_relaxed))
      return;
    std::int64_t begin_ns = 0;
    if (recorded) {
      begin_ns = clock_.now_ns();
      record_begin(step, entry.op, begin_ns);
    }
    compute_op_ = entry.op;
    compute_.run(graph_.op(entry.op), buffers_, ready_ns);
    if (recorded) {
      const std::int64_t end_ns = clock_.now_ns();
      record_end(step, entry.op, end_ns);
      busy_ns += end_ns - begin_ns;
    }
    done_epoch_[entry.op.value()].store(epoch_, std::memory_order_release);
    if (entry.releases_comm) {
      compute_events_.fetch_add(1, std::memory_order_release);
      compute_events_.notify_all();
    }
  }
  compute_busy_ns_ = busy_ns;
  compute_end_ns_ = clock_.now_ns();
}

bool Executor::ready(std::size_t comm_index) const {
  const auto& after = plan_->comm[comm_index].after;
  return std::all_of(after.begin(), after.end(), [this](OpId op) {
    return done_epoch_[op.value()].load(std::memory_order_acquire) == epoch_;
  });
}

void Executor::launch(std::uint32_t step, std::size_t comm_index, bool validated) {
  const Plan::CommOp& entry = plan_->comm[comm_index];
  if (validated && entry.comm->validated)
    validator_->plant(step, static_cast<std::uint32_t>(comm_index), *entry.comm, buffers_);
  const std::int64_t now_ns = clock_.now_ns();
  comm_begin_ns_[comm_index] = now_ns;
  if (!recording_.comms.empty()) {
    record_begin(step, entry.op, now_ns);
    CommStamp& stamp = recording_.comm(step, comm_index);
    stamp.step = step;
    stamp.op = entry.op.value();
    publish(stamp.begin_ns, now_ns);
  }
  tickets_[comm_index] = fabric_.start(*entry.comm, graph_, buffers_);
  in_flight_.push_back(comm_index);
}

void Executor::finish_comm(std::size_t comm_index, std::int64_t now_ns) {
  const OpId op = plan_->comm[comm_index].op;
  done_ns_[op.value()] = now_ns;
  comm_ns_[comm_index] = now_ns - comm_begin_ns_[comm_index];
  if (!recording_.comms.empty()) {
    record_end(step_, op, now_ns);
    publish(recording_.comm(step_, comm_index).end_ns, now_ns);
  }
  done_epoch_[op.value()].store(epoch_, std::memory_order_release);
  comm_events_.fetch_add(1, std::memory_order_release);
  comm_events_.notify_all();
}

bool Executor::held() const {
  return options_.hold != nullptr && options_.hold->load(std::memory_order_relaxed);
}

/// The communication under way that passed its deadline first; those that began later may have less time.
std::optional<std::size_t> Executor::overdue(std::int64_t now_ns) const {
  std::optional<std::size_t> latest;
  std::int64_t most_ns = 0;
  for (const std::size_t comm_index : in_flight_) {
    const std::int64_t over_ns = now_ns - comm_begin_ns_[comm_index] - options_.op_deadlines_ns[comm_index];
    if (over_ns > most_ns) {
      most_ns = over_ns;
      latest = comm_index;
    }
  }
  return latest;
}

void Executor::pause(std::int64_t idle_ns) const {
  if (options_.wait == WaitMode::spin)
    relax_cpu();
  else if (idle_ns < kYieldNs)
    sched_yield();
  else
    sleep_until_ns(monotonic_ns() + std::clamp(idle_ns / 8, kShortestSleepNs, kLongestSleepNs));
}

StepResult Executor::stop_with(StepStatus status, OpId op, std::string message) {
  stop_.store(true, std::memory_order_release);
  comm_events_.fetch_add(1, std::memory_order_release);
  comm_events_.notify_all();
  StepResult result;
  result.status = status;
  result.op = op;
  result.message = std::move(message);
  return result;
}

StepResult Executor::stop_as_compute_failed() {
  return stop_with(StepStatus::compute_error, compute_op_, compute_error_);
}

StepResult Executor::drive_communication(std::uint32_t step, bool validated) {
  std::size_t next = 0;
  std::int64_t moved_ns = 0;
  std::int64_t looked_ns = 0;
  std::int64_t longest_gap_ns = 0;
  while (next < plan_->comm.size() || !in_flight_.empty()) {
    const std::uint32_t events = compute_events_.load(std::memory_order_acquire);
    if (compute_failed_.load(std::memory_order_acquire))
      return stop_as_compute_failed();
    const bool is_held = held();  // looked at once: who lets go wakes nobody
    bool moved = false;
    while (next < plan_->comm.size() && ready(next) && !is_held) {
      launch(step, next++, validated);
      moved = true;
    }
    for (std::size_t i = 0; i < in_flight_.size();) {
      const std::size_t comm_index = in_flight_[i];
      const CommState state = fabric_.test(tickets_[comm_index]);
      if (state == CommState::failed)
        return stop_with(StepStatus::transport_error, plan_->comm[comm_index].op,
                         fabric_.error_text(tickets_[comm_index]));
      if (state == CommState::pending) {
        ++i;
        continue;
      }
      finish_comm(comm_index, clock_.now_ns());
      in_flight_.erase(in_flight_.begin() + static_cast<std::ptrdiff_t>(i));
      moved = true;
    }
    if (moved) {
      moved_ns = clock_.now_ns();
      longest_gap_ns = std::max(longest_gap_ns, looked_ns > 0 ? moved_ns - looked_ns : 0);
      looked_ns = moved_ns;
      continue;
    }
    if (in_flight_.empty()) {
      // Nothing to move: only the compute thread can make the next communication ready.
      looked_ns = 0;
      if (options_.wait == WaitMode::spin)
        relax_cpu();
      else if (is_held)
        pause(kHeldNs);
      else
        compute_events_.wait(events, std::memory_order_acquire);
      continue;
    }
    const std::int64_t now_ns = clock_.now_ns();
    longest_gap_ns = std::max(longest_gap_ns, looked_ns > 0 ? now_ns - looked_ns : 0);
    looked_ns = now_ns;
    pause(now_ns - moved_ns);
    if (const auto late = overdue(now_ns)) {
      StepResult result = stop_with(StepStatus::deadline, plan_->comm[*late].op, {});
      result.stood_still_ns = longest_gap_ns;
      return result;
    }
  }
  return {};
}

std::int64_t Executor::expose_trailing(std::int64_t compute_end_ns) {
  std::int64_t covered_until = compute_end_ns;
  for (std::size_t i = 0; i < plan_->comm.size(); ++i) {
    const std::int64_t end_ns = done_ns_[plan_->comm[i].op.value()];
    if (!plan_->comm[i].trailing || end_ns <= covered_until)
      continue;
    exposed_ns_[i] += end_ns - covered_until;
    covered_until = end_ns;
  }
  std::int64_t sum = 0;
  for (const std::int64_t exposed : exposed_ns_)
    sum += exposed;
  return sum;
}

void Executor::check_data(std::uint32_t step, StepStamp& stamp, StepResult& result) {
  std::uint64_t checksum = 0;
  for (std::size_t i = 0; i < plan_->comm.size(); ++i) {
    const Plan::CommOp& entry = plan_->comm[i];
    if (!entry.comm->validated)
      continue;
    const ValidationResult found =
        validator_->check(step, static_cast<std::uint32_t>(i), *entry.comm, buffers_);
    checksum = mix64(checksum ^ found.checksum);
    if (found.wrong > 0)
      result.corruptions.push_back({entry.op, found.wrong, found.first});
  }
  stamp.checksum = checksum;
  stamp.flags |= kStepValidated;
  if (!result.corruptions.empty())
    stamp.flags |= kStepCorrupt;
}

void Executor::check_products(std::uint32_t step, StepStamp& stamp, StepResult& result) {
  try {
    result.wrong_products = compute_.check_products(step, buffers_);
  } catch (const std::exception& error) {
    compute_error_ = error.what();
    result = stop_as_compute_failed();
  }
  if (!result.wrong_products.empty())
    stamp.flags |= kStepCorrupt;
}

StepResult Executor::run_step(std::uint32_t step, std::uint32_t flags) {
  LOCKSTEP_EXPECT(!stop_.load(), "the executor has stopped after a failure");
  const bool recorded = !recording_.steps.empty();
  const bool validated = validator_ != nullptr && ((flags & kStepValidated) != 0 ||
                                                   is_validated_step(step, options_.validation_share));
  ++epoch_;
  step_ = step;
  std::fill(exposed_ns_.begin(), exposed_ns_.end(), 0);
  step_begin_ns_ = clock_.now_ns();
  StepStamp unrecorded;
  StepStamp& stamp = recorded ? recording_.steps[step] : unrecorded;
  stamp.step = step;
  stamp.flags = flags & ~static_cast<std::uint32_t>(kStepValidated);  // once it has been
  publish(stamp.begin_ns, step_begin_ns_);

  if (plan_->compute.empty()) {
    compute_busy_ns_ = 0;
    compute_end_ns_ = step_begin_ns_;
    compute_finished_.store(epoch_, std::memory_order_relaxed);
  } else {
    go_.fetch_add(1, std::memory_order_release);
    go_.notify_all();
  }
  StepResult result = drive_communication(step, validated);
  if (result.status != StepStatus::completed)
    return result;
  while (compute_finished_.load(std::memory_order_acquire) != epoch_) {
    const std::uint32_t events = compute_events_.load(std::memory_order_acquire);
    if (compute_failed_.load(std::memory_order_acquire))
      return stop_as_compute_failed();
    if (compute_finished_.load(std::memory_order_acquire) == epoch_)
      break;
    if (options_.wait == WaitMode::spin)
      relax_cpu();
    else
      compute_events_.wait(events, std::memory_order_acquire);
  }
  const std::int64_t end_ns = clock_.now_ns();

  // The step is over; what follows is measured as part of the time between two steps.
  stamp.compute_ns = compute_busy_ns_;
  stamp.exposed_ns = expose_trailing(compute_end_ns_);
  if (!recording_.comms.empty()) {
    for (std::size_t i = 0; i < plan_->comm.size(); ++i)
      recording_.comm(step, i).exposed_ns = exposed_ns_[i];
  }
  if (validated)
    check_data(step, stamp, result);
  else if (is_product_checked_step(step, options_.validation_share))
    check_products(step, stamp, result);
  publish(stamp.end_ns, end_ns);
  if (end_ns - last_discipline_ns_ > kDisciplineEveryNs) {
    clock_.discipline();
    last_discipline_ns_ = end_ns;
  }
  return result;
}

}  // namespace lockstep::step
