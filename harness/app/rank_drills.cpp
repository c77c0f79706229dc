#include "harness/app/rank_drills.hpp"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>

#include <fmt/format.h>
#include <unistd.h>

#include "harness/core/clock.hpp"
#include "harness/core/error.hpp"
#include "harness/core/units.hpp"

namespace lockstep::app {
namespace {

using plan::DrillKind;

bool acts_in_ranks(DrillKind kind) {
  return kind != DrillKind::cut && kind != DrillKind::degrade && kind != DrillKind::lose;
}

bool acts_on(const plan::Drill& drill, const DrillTarget& self) {
  if (drill.rank)
    return acts_in_ranks(drill.kind) && *drill.rank == self.rank;
  return drill.kind == DrillKind::slow && drill.host == self.host;
}

}  // namespace

RankDrills::RankDrills(const plan::Plan& plan, const std::vector<std::uint32_t>& chosen,
                       const DrillTarget& self, std::uint32_t first_step, record::Journal& journal,
                       watch::Supervised& supervised)
    : self_(self), journal_(journal), supervised_(supervised) {
  for (const std::uint32_t index : chosen) {
    if (index >= plan.drills.size()) {
      throw InputError({.what = fmt::format("there is no drill {}", index),
                        .why = fmt::format("the plan has {}, counted from 0", plan.drills.size()),
                        .suggestion = {},
                        .file = plan.path});
    }
    const plan::Drill& drill = plan.drills[index];
    if (drill.step < first_step)
      continue;  // trained by an earlier launch
    if (drill.kind == DrillKind::flip)
      checked_steps_.push_back(drill.step - first_step);
    if (acts_on(drill, self))
      own_.push_back({&drill, index, drill.step - first_step});
  }
  const bool has_time = std::any_of(own_.begin(), own_.end(), [](const Own& own) {
    return own.drill->after_s > 0.0 || own.drill->for_s > 0.0;
  });
  if (has_time)
    timer_ = std::thread([this] { keep_time(); });
}

RankDrills::~RankDrills() {
  {
    const std::lock_guard lock(mutex_);
    over_ = true;
  }
  wake_.notify_all();
  if (timer_.joinable())
    timer_.join();
}

step::ComputeBackend& RankDrills::around(step::ComputeBackend& inner) {
  if (std::none_of(own_.begin(), own_.end(),
                   [](const Own& own) { return own.drill->kind == DrillKind::slow; }))
    return inner;
  slowed_ = std::make_unique<compute::SlowedBackend>(inner);
  return *slowed_;
}

step::Validator& RankDrills::around(const step::StepGraph& graph, fabric::PatternValidator& inner) {
  if (std::none_of(own_.begin(), own_.end(),
                   [](const Own& own) { return own.drill->kind == DrillKind::flip; }))
    return inner;
  flipping_ = std::make_unique<fabric::FlippingValidator>(
      graph, inner, [this, &graph](const fabric::FlippingValidator::Place& place) {
        const OpId op = graph.comm_ops()[place.comm_index];
        note(
            *flip_, place.step,
            fmt::format("bit {} of element {} of what {} left", place.bit, place.element, graph.op(op).name));
      });
  return *flipping_;
}

const std::atomic<bool>* RankDrills::hold() const {
  const bool hangs = std::any_of(own_.begin(), own_.end(),
                                 [](const Own& own) { return own.drill->kind == DrillKind::hang; });
  return hangs ? &hold_ : nullptr;
}

std::uint32_t RankDrills::flags(std::uint32_t step) const {
  const bool is_checked =
      std::find(checked_steps_.begin(), checked_steps_.end(), step) != checked_steps_.end();
  return is_checked ? step::kStepValidated : 0U;
}

void RankDrills::begin_step(std::uint32_t step) {
  for (const Own& own : own_) {
    if (own.step != step)
      continue;
    if (own.drill->after_s > 0.0 &&
        own.drill->kind != DrillKind::flip)  // that one is made when it is checked
      later(own.drill->after_s, [this, &own] { act(own, journal_.where().step.load()); });
    else
      act(own, step);
  }
}

void RankDrills::act(const Own& own, std::uint32_t step) {
  const plan::Drill& drill = *own.drill;
  switch (drill.kind) {
    case DrillKind::kill:
      note(own, step, "SIGKILL to itself");
      end_process(drill.kind);
      return;
    case DrillKind::crash:
      note(own, step, "SIGSEGV to itself, with the default action");
      end_process(drill.kind);
      return;
    case DrillKind::abort:
      note(own, step, "abort()");
      end_process(drill.kind);
      return;
    case DrillKind::stop:
      stop(own, step);
      return;
    case DrillKind::slow: {
      // All ranks of a host are slow; one of them notes it.
      std::optional<std::uint32_t> place;
      if (drill.rank || self_.local_rank == 0)
        place = note(own, step, fmt::format("computing takes {:g} times as long", drill.factor));
      slowed_->set_factor(drill.factor);
      until(own, place, [this] { slowed_->set_factor(1.0); });
      return;
    }
    case DrillKind::hang: {
      const auto place = note(own, step, "it enters no communication");
      hold_.store(true, std::memory_order_relaxed);
      until(own, place, [this] { hold_.store(false, std::memory_order_relaxed); });
      return;
    }
    case DrillKind::flip:
      flip_ = &own;
      flipping_->arm(step);
      return;
    case DrillKind::fill: {
      const auto place = note(own, step, "RLIMIT_FSIZE is 0 while a checkpoint is written");
      disk_full_.store(true, std::memory_order_relaxed);
      until(own, place, [this] { disk_full_.store(false, std::memory_order_relaxed); });
      return;
    }
    case DrillKind::cut:
    case DrillKind::degrade:
    case DrillKind::lose:
      break;
  }
  LOCKSTEP_EXPECT(false, "such a drill is the controller's");
}

void RankDrills::end_process(DrillKind kind) {
  if (kind == DrillKind::kill)
    ::kill(::getpid(), SIGKILL);
  if (kind == DrillKind::abort)
    std::abort();
  // MPI and sanitizers have handlers for this one, which may leave it at a message.
  ::signal(SIGSEGV, SIG_DFL);
  ::kill(::getpid(), SIGSEGV);
  while (true)
    ::pause();
}

void RankDrills::stop(const Own& own, std::uint32_t step) {
  const auto place = note(own, step, "SIGSTOP to itself");
  if (own.drill->for_s > 0.0)
    supervised_.resume_after(own.drill->for_s);
  ::raise(SIGSTOP);
  if (place)
    journal_.end_drill(*place, utc_ns());
}

std::optional<std::uint32_t> RankDrills::note(const Own& own, std::uint32_t step, const std::string& how) {
  record::DrillRow row;
  row.leg = self_.leg;
  row.drill = own.index;
  row.kind = plan::to_string(own.drill->kind);
  row.target = own.drill->rank ? fmt::format("rank {}", self_.rank) : "host " + self_.host;
  row.step = static_cast<std::int32_t>(step);
  row.begin_utc_ns = utc_ns();
  row.how = how;
  return journal_.add_drill(row);
}

void RankDrills::until(const Own& own, std::optional<std::uint32_t> place, std::function<void()> take_back) {
  if (own.drill->for_s <= 0.0)
    return;
  later(own.drill->for_s, [this, place, take_back = std::move(take_back)] {
    take_back();
    if (place)
      journal_.end_drill(*place, utc_ns());
  });
}

void RankDrills::later(double seconds, std::function<void()> act) {
  {
    const std::lock_guard lock(mutex_);
    due_.push_back({monotonic_ns() + static_cast<std::int64_t>(seconds * kNsPerS), std::move(act)});
  }
  wake_.notify_all();
}

void RankDrills::keep_time() {
  std::unique_lock lock(mutex_);
  while (!over_) {
    if (due_.empty()) {
      wake_.wait(lock);
      continue;
    }
    const auto next = std::min_element(due_.begin(), due_.end(),
                                       [](const Due& a, const Due& b) { return a.at_ns < b.at_ns; });
    if (const std::int64_t left_ns = next->at_ns - monotonic_ns(); left_ns > 0) {
      wake_.wait_for(lock, std::chrono::nanoseconds(left_ns));
      continue;
    }
    const std::function<void()> act = std::move(next->act);
    due_.erase(next);
    lock.unlock();
    act();
    lock.lock();
  }
}

}  // namespace lockstep::app
