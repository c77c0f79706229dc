#include "harness/campaign/leg_watch.hpp"

#include <algorithm>
#include <filesystem>

#include <fmt/format.h>

#include "harness/core/error.hpp"
#include "harness/core/units.hpp"
#include "harness/step/stamps.hpp"
#include "harness/watch/deadlines.hpp"
#include "harness/watch/standing.hpp"

namespace lockstep::campaign {
namespace {

constexpr double kOpDeadlines = 2.0;     // a step may hold several slow ops; one alone is the rank's to judge
constexpr double kExpectedSteps = 10.0;  // a prediction may be far off on a machine that was never measured
constexpr double kLongestIntervals = 5.0;

}  // namespace

LegLimits leg_limits(const plan::Plan& plan, double expected_step_s, double slack_s) {
  const plan::Deadlines& deadlines = plan.deadlines;
  LegLimits limits;
  limits.first_step_s =
      deadlines.launch_s + deadlines.init_s + deadlines.site_map_s + 2.0 * deadlines.first_op_s + slack_s;
  const double op_s = std::max(deadlines.op_s, deadlines.wan_op_s);
  limits.progress_s = std::max({kOpDeadlines * op_s, watch::first_step_allowance_s(deadlines),
                                kExpectedSteps * expected_step_s}) +
                      slack_s;
  limits.finish_s = 2.0 * deadlines.merge_s + deadlines.finalize_s + slack_s;
  limits.slack_s = slack_s;
  return limits;
}

LegWatch::LegWatch(LegLimits limits, std::int64_t launched_ns)
    : limits_(limits), launched_ns_(launched_ns), changed_ns_(launched_ns) {}

std::optional<Diagnosis> LegWatch::observe(std::int64_t now_ns, const Sight& sight) {
  using record::RankPhase;
  if (sight.change != change_) {  // a checkpoint was begun, or clocks are compared
    change_ = sight.change;
    changed_ns_ = now_ns;
  }
  if (!stepped_ && sight.furthest < RankPhase::stepping) {
    const bool is_allowed =
        sight.allowed_s > 0.0 && seconds_from_ns(now_ns - changed_ns_) <= sight.allowed_s + limits_.slack_s;
    if (is_allowed || seconds_from_ns(now_ns - launched_ns_) <= limits_.first_step_s)
      return std::nullopt;
    return Diagnosis{
        "launch",
        fmt::format(
            "no rank reached its first step within {} of the launch ({} of them had begun, the furthest "
            "was in {})",
            format_seconds(limits_.first_step_s), sight.journals, record::to_string(sight.furthest)),
        Consequence::data};
  }
  if (!stepped_) {
    stepped_ = true;
    changed_ns_ = now_ns;
  }
  if (sight.steps > steps_) {
    longest_interval_ns_ = std::max(longest_interval_ns_, now_ns - changed_ns_);
    steps_ = sight.steps;
    changed_ns_ = now_ns;
  }
  if (sight.furthest > RankPhase::stepping) {
    if (finishing_ns_ == 0)
      finishing_ns_ = now_ns;
    // Another rank may still be on its way through its last step.
    if (seconds_from_ns(now_ns - std::max(finishing_ns_, changed_ns_)) <= limits_.finish_s)
      return std::nullopt;
    return Diagnosis{
        "deadline",
        fmt::format("the launch did not end within {} of its last step", format_seconds(limits_.finish_s)),
        Consequence::data};
  }
  const double limit_s =
      std::max({limits_.progress_s, kLongestIntervals * seconds_from_ns(longest_interval_ns_),
                sight.allowed_s + limits_.slack_s});
  if (seconds_from_ns(now_ns - changed_ns_) <= limit_s)
    return std::nullopt;
  return Diagnosis{
      "deadline",
      fmt::format("no rank completed a step for {} after {} steps", format_seconds(limit_s), steps_),
      Consequence::data};
}

Sight JournalWatch::look() {
  if (readers_.size() < kMostWatched)
    find_new();
  Sight sight;
  sight.journals = static_cast<std::uint32_t>(readers_.size());
  for (const auto& [name, reader] : readers_) {
    sight.furthest = std::max(sight.furthest, reader.phase());
    sight.steps = std::max(sight.steps, reader.completed_steps());
    sight.allowed_s = std::max(sight.allowed_s, seconds_from_ns(reader.allowed_ns()));
    sight.change += static_cast<std::uint64_t>(reader.since_ns());  // a sum: clocks of hosts have no order
  }
  const auto first = readers_.find(record::journal_file_name(0));
  if (first != readers_.end()) {
    for (const std::uint32_t completed = first->second.completed_steps(); told_steps_ < completed;
         ++told_steps_) {
      const auto stamp = first->second.step(told_steps_);
      if (stamp && (stamp->flags & step::kStepWarmup) == 0)
        sight.new_steps_s.push_back(seconds_from_ns(stamp->end_ns - stamp->begin_ns));
    }
  }
  return sight;
}

std::string JournalWatch::who_holds_up(std::uint32_t step) const {
  std::vector<watch::RankStanding> ranks;
  for (const auto& [name, reader] : readers_) {
    const record::RankRow& rank = reader.meta().rank;
    ranks.push_back({rank.rank, rank.host, watch::where_it_stands(reader, step)});
  }
  return watch::who_holds_up(ranks);
}

void JournalWatch::find_new() {
  const std::string first = record::journal_file_name(0);
  if (!readers_.contains(first))
    open(first);
  // One place is the first rank's: the length of steps is read there.
  const std::size_t most = kMostWatched - (readers_.contains(first) ? 0 : 1);
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder_, error)) {
    const std::string name = entry.path().filename().string();
    if (entry.path().extension() == ".journal" && !readers_.contains(name) && readers_.size() < most)
      open(name);
  }
}

void JournalWatch::open(const std::string& name) {
  try {
    readers_.emplace(name, record::JournalReader::open(folder_ + "/" + name));
  } catch (const InputError&) {  // still being made: the next look finds it whole
  } catch (const RunError&) {
  }
}

}  // namespace lockstep::campaign
