#include "harness/certify/stall_causes.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include <fmt/format.h>

#include "harness/core/units.hpp"
#include "harness/stats/stall.hpp"
#include "harness/watch/attribution.hpp"
#include "harness/watch/launch_view.hpp"

namespace lockstep::certify {
namespace {

/// Below it a cause is a guess, and the stall counts as not explained.
constexpr double kStandsOut = 0.4;
constexpr std::size_t kMostWorst = 10;
constexpr std::size_t kMostTold = 4;

std::int64_t ns(double seconds) {
  return static_cast<std::int64_t>(std::llround(seconds * kNsPerS));
}

/// The launch's stalls by the certificate's step times, with their causes.
std::vector<record::StallRow> explained_stalls(const record::Evidence& evidence, const Launch& launch) {
  const stats::StallThreshold threshold = stats::StallRule{}.threshold(launch.steady_times_s());
  std::vector<record::StallRow> stalls;
  for (const JudgedStep& step : launch.steps) {
    if (!step.steady || !threshold.is_stall(step.time_s()))
      continue;
    record::StallRow& stall = stalls.emplace_back();
    stall.leg = launch.leg->leg;
    stall.step = step.step;
    stall.length_ns = step.end_ns - step.begin_ns;
    stall.median_ns = ns(threshold.median);
    stall.threshold_ns = ns(threshold.limit);
    const auto longest = std::max_element(
        step.rows.begin(), step.rows.end(),
        [](const auto* a, const auto* b) { return a->end_ns - a->begin_ns < b->end_ns - b->begin_ns; });
    stall.rank = (*longest)->rank;
    stall.begin_ns = (*longest)->begin_ns;
  }
  if (stalls.empty())
    return stalls;
  const watch::LaunchView view = watch::view_of(evidence, launch.leg->leg);
  const watch::StallAttribution attribution(view);
  for (record::StallRow& stall : stalls)
    attribution.explain(stall, watch::StepSpan::end_to_end);
  return stalls;
}

void sort_causes(JointStalls& stalls,
                 const std::map<std::pair<std::string, std::string>, StallCause>& causes) {
  for (const auto& [key, summed] : causes) {
    StallCause cause = summed;
    if (cause.cost_s > 0.0)
      cause.confidence /= cause.cost_s;
    stalls.causes.push_back(std::move(cause));
  }
  std::stable_sort(stalls.causes.begin(), stalls.causes.end(),
                   [](const StallCause& a, const StallCause& b) { return a.cost_s > b.cost_s; });
}

void keep_worst(std::vector<record::StallRow>& stalls) {
  std::stable_sort(stalls.begin(), stalls.end(),
                   [](const auto& a, const auto& b) { return a.length_ns > b.length_ns; });
  if (stalls.size() > kMostWorst)
    stalls.resize(kMostWorst);
}

}  // namespace

JointStalls figure_stalls(const record::Evidence& evidence, const std::vector<Round>& rounds) {
  JointStalls stalls;
  std::map<std::pair<std::string, std::string>, StallCause> causes;
  std::size_t steps = 0;
  for (const Round& round : rounds) {
    for (const Launch* launch : round.attempts) {
      steps += launch->steady_times_s().size();
      for (record::StallRow& stall : explained_stalls(evidence, *launch)) {
        const double extra_s = seconds_from_ns(stall.length_ns - stall.median_ns);
        ++stalls.steps;
        stalls.longest_s = std::max(stalls.longest_s, seconds_from_ns(stall.length_ns));
        stalls.cost_s += extra_s;
        const bool told = stall.confidence >= kStandsOut;
        const std::string name = told ? stall.cause : "unknown";
        if (name == "slow_wan") {
          ++stalls.between_sites;
          stalls.between_sites_cost_s += extra_s;
        } else if (name == "slow_compute" || name == "slow_host") {
          ++stalls.in_compute;
        }
        const std::string culprit = told ? stall.culprit : std::string{};
        StallCause& cause = causes[{name, culprit}];
        cause.cause = name;
        cause.culprit = culprit;
        ++cause.steps;
        cause.cost_s += extra_s;
        cause.confidence += stall.confidence * extra_s;
        stalls.worst.push_back(std::move(stall));
      }
    }
  }
  sort_causes(stalls, causes);
  keep_worst(stalls.worst);
  if (steps > 0) {
    const auto count = static_cast<double>(steps);
    stalls.cost_s /= count;
    stalls.between_sites_cost_s /= count;
    for (StallCause& cause : stalls.causes)
      cause.cost_s /= count;
  }
  return stalls;
}

std::string in_words(const StallCause& cause) {
  const std::string& who = cause.culprit;
  if (cause.cause == "slow_wan")
    return fmt::format(
        "in transfers between sites {} that every rank had joined: lost packets or a link that "
        "was interrupted, not a slow rank",
        who);
  if (cause.cause == "slow_lan")
    return fmt::format("in transfers inside a site ({}) that every rank had joined", who);
  if (cause.cause == "slow_compute")
    return who.empty() ? "in computing that took longer on all ranks"
                       : fmt::format("in computing of {}", who);
  if (cause.cause == "slow_host")
    return fmt::format("with {} held up by its host, outside of communication", who);
  if (cause.cause == "late_launch")
    return fmt::format("with {} late to enter a communication that it was ready for", who);
  return "without a cause that stands out";
}

std::string describe_stalls(const Metrics& metrics) {
  const JointStalls& stalls = metrics.stalls;
  const LegMetrics* joint = metrics.joint();
  if (stalls.steps == 0 || joint == nullptr)
    return {};
  std::string text =
      fmt::format("{} of {} joint steps stalled (longest {}, p50 {}) and cost {} of the mean step of {}",
                  stalls.steps, joint->figures.time_s.count, format_seconds(stalls.longest_s),
                  format_seconds(joint->figures.time_s.p50), format_seconds(stalls.cost_s),
                  format_seconds(joint->figures.time_s.mean));
  const std::size_t told = std::min(stalls.causes.size(), kMostTold);
  for (std::size_t i = 0; i < told; ++i) {
    const StallCause& cause = stalls.causes[i];
    text += fmt::format("{}{} ({}) {}", i == 0 ? ": " : "; ", cause.steps, format_seconds(cause.cost_s),
                        in_words(cause));
    if (cause.cause != "unknown")
      text += fmt::format(" (confidence {:.2f})", cause.confidence);
  }
  if (told < stalls.causes.size())
    text += fmt::format("; and {} more causes", stalls.causes.size() - told);
  return text;
}

}  // namespace lockstep::certify
