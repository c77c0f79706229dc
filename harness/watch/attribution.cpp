#include "harness/watch/attribution.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>

#include <fmt/format.h>

#include "harness/core/units.hpp"
#include "harness/step/stamps.hpp"
#include "harness/watch/critical_path.hpp"
#include "harness/watch/names.hpp"
#include "harness/watch/step_parts.hpp"
#include "harness/watch/throttle_bits.hpp"
#include "harness/watch/throttles.hpp"

namespace lockstep::watch {
namespace {

/// A cause has to explain this share of the extra time.
constexpr double kExplains = 0.5;
/// A second cause that explains this share of what the first does makes the case open.
constexpr double kAboutTheSame = 0.7;
/// The common clock is trusted when its bounds are this small against the extra time.
constexpr double kClockShare = 0.25;
/// Fewer steady steps give no sound idea of the usual.
constexpr std::size_t kFewSteps = 10;
constexpr std::size_t kMostWhy = 500;
constexpr std::size_t kMostCulprit = 120;

/// Two clocks drift apart by no more than this share of the time: NTP corrects by 500 ppm at most.
constexpr double kMostDrift = 1e-3;

/// From the first begin of a step to the last end, on the rank where that is longest.
std::int64_t stepping_ns(const LaunchView& view) {
  std::map<std::uint32_t, std::int64_t> begins;
  std::int64_t longest_ns = 0;
  for (const record::StepRow* row : view.steps) {
    const auto begin = begins.try_emplace(row->rank, row->begin_ns).first;
    longest_ns = std::max(longest_ns, row->end_ns - begin->second);
  }
  return longest_ns;
}

struct Measure {
  std::vector<StepParts> steps;
  UsualStep usual;
};

Measure measure(const LaunchView& view, ArrivalRule rule) {
  Measure found;
  found.steps = measure_steps(view, rule);
  found.usual = usual_step(found.steps, view.rank_count());
  return found;
}

const StepParts* find(const Measure& measure, std::uint32_t step) {
  const auto found = std::lower_bound(measure.steps.begin(), measure.steps.end(), step,
                                      [](const StepParts& a, std::uint32_t b) { return a.step < b; });
  return found == measure.steps.end() || found->step != step ? nullptr : &*found;
}

bool same(const Candidate& a, const Candidate& b) {
  return a.cause == b.cause && a.culprit == b.culprit;
}

bool is_network(const Candidate& candidate) {
  return candidate.cause == "slow_lan" || candidate.cause == "slow_wan";
}

/// How sure the best candidate is among the others, for a step that is `extra_ns` too long.
double confidence_of(const std::vector<Candidate>& candidates, double extra_ns, std::string& why) {
  const Candidate& best = candidates.front();
  double confidence = std::min(1.0, best.explained_ns / extra_ns) * best.certainty;
  if (candidates.size() < 2)
    return confidence;
  const Candidate& second = candidates[1];
  const double share = std::min(second.explained_ns, extra_ns) / std::min(best.explained_ns, extra_ns);
  confidence *= 1.0 - 0.6 * std::min(1.0, share);
  if (share >= kAboutTheSame)
    why += fmt::format("; but this explains about as much: {}", second.why);
  return confidence;
}

/// Whether the path's most delayed element is what the candidate says; nullopt when there is none.
std::optional<bool> agrees(const LaunchView& view, const Candidate& candidate, const PathElement& worst) {
  const bool mine =
      std::find(candidate.ranks.begin(), candidate.ranks.end(), worst.rank) != candidate.ranks.end();
  if (is_network(candidate))
    return worst.part == PathPart::moving && view.spans_sites(worst.op) == (candidate.cause == "slow_wan");
  if (candidate.cause == "late_launch")
    return worst.part == PathPart::delay && mine;
  if (candidate.ranks.empty())
    return std::nullopt;
  return mine && worst.part != PathPart::moving;
}

}  // namespace

struct StallAttribution::Measured {
  explicit Measured(const LaunchView& of) : view(of), stamped(of), throttles(of) {
    by_time = measure(of, ArrivalRule::shortest_time);
    clocked = std::all_of(of.clocks.begin(), of.clocks.end(),
                          [](const auto& clock) { return clock.measurements() >= 1; });
    if (clocked) {
      by_clock = measure(of, ArrivalRule::common_clock);
      // A launch that broke off has a single measurement, which says nothing about how the clock drifts.
      const double drift_ns = kMostDrift * static_cast<double>(stepping_ns(of));
      for (const auto& clock : of.clocks)
        bound_ns =
            std::max(bound_ns, clock.bound_ns() +
                                   (clock.measurements() >= 2 ? 0 : static_cast<std::int64_t>(drift_ns)));
    }
  }

  const LaunchView& view;
  StampedSteps stamped;
  Throttles throttles;
  Measure by_time;
  Measure by_clock;
  bool clocked = false;
  std::int64_t bound_ns = 0;

  /// Two ranks' clocks are compared, each of them wrong by the bound at most.
  [[nodiscard]] bool clock_tells(double extra_ns) const {
    return clocked && 2.0 * static_cast<double>(bound_ns) <= kClockShare * extra_ns;
  }
  [[nodiscard]] std::vector<Candidate> candidates(std::uint32_t step, ArrivalRule rule, double extra_ns,
                                                  StepSpan span) const {
    const Measure& measure = rule == ArrivalRule::common_clock ? by_clock : by_time;
    const StepParts* parts = find(measure, step);
    if (parts == nullptr)
      return {};
    return explain_step(view, *parts, measure.usual, rule, extra_ns, span);
  }
  void check_other_rule(Candidate& best, double& confidence, std::uint32_t step, double extra_ns,
                        StepSpan span) const;
  void check_path(Candidate& best, double& confidence, std::uint32_t step, double extra_ns) const;
  void check_throttle(Candidate& best, double& confidence, std::uint32_t step) const;
};

/// The rule that needs no clock, as a check of what the clock told.
void StallAttribution::Measured::check_other_rule(Candidate& best, double& confidence, std::uint32_t step,
                                                  double extra_ns, StepSpan span) const {
  const std::vector<Candidate> others = candidates(step, ArrivalRule::shortest_time, extra_ns, span);
  if (others.empty() || same(others.front(), best) || others.front().explained_ns < kExplains * extra_ns)
    return;
  // Ranks need not leave a slow transfer together: then the first to leave looks late without a clock.
  const bool expected = others.front().cause == "late_launch" && is_network(best);
  confidence *= expected ? 0.85 : 0.5;
  if (!expected)
    best.why += fmt::format("; without the clocks it looks like {}{}{}", others.front().cause,
                            others.front().culprit.empty() ? "" : " of ", others.front().culprit);
}

void StallAttribution::Measured::check_path(Candidate& best, double& confidence, std::uint32_t step,
                                            double extra_ns) const {
  const StepParts* parts = find(by_time, step);
  const auto path = parts == nullptr ? std::nullopt : stamped.critical_path(step, parts->longest);
  if (!path || path->empty())
    return;
  const PathElement& worst =
      *std::max_element(path->begin(), path->end(),
                        [](const PathElement& a, const PathElement& b) { return a.extra_ns < b.extra_ns; });
  if (static_cast<double>(worst.extra_ns) < 0.25 * extra_ns)
    return;
  const auto agreed = agrees(view, best, worst);
  if (!agreed)
    return;
  const char* part = worst.part == PathPart::delay ? "a late begin of " : "";
  const std::string element = fmt::format("{}{} on rank {} ({} longer)", part, view.op_name(worst.op),
                                          worst.rank, format_seconds(seconds_from_ns(worst.extra_ns)));
  if (*agreed) {
    confidence += 0.4 * (1.0 - confidence);
    best.op = static_cast<std::int32_t>(worst.op);
    best.why += "; most of it on the critical path: " + element;
  } else {
    confidence *= 0.6;
    best.why += "; but the critical path lost most in " + element;
  }
}

/// A device that was throttled in that very step is why its rank computed for longer.
void StallAttribution::Measured::check_throttle(Candidate& best, double& confidence,
                                                std::uint32_t step) const {
  if (throttles.empty() || (best.cause != "slow_compute" && best.cause != "slow_host"))
    return;
  std::size_t blamed = 0;
  std::size_t throttled = 0;
  std::int64_t bits = 0;
  std::string device;
  for (const record::StepRow* row : view.steps_of(step)) {
    const bool is_blamed =
        best.ranks.empty() || std::find(best.ranks.begin(), best.ranks.end(), row->rank) != best.ranks.end();
    blamed += is_blamed ? 1 : 0;
    const std::int64_t found = is_blamed ? throttles.bits(*row) : 0;
    if (found == 0)
      continue;
    if (throttled++ == 0)
      device = device_name(view, view.device_of(row->rank));
    bits |= found;
  }
  if (throttled == 0)
    return;
  // Blamed together, they have to be throttled together: one of many does not slow the others.
  if (2 * throttled >= blamed)
    confidence += 0.5 * (1.0 - confidence);
  best.why += blamed == 1 ? fmt::format("; its {} was throttling: {}", device, throttle_words(bits))
                          : fmt::format("; {} of {} were throttling ({}): {}", throttled, blamed, device,
                                        throttle_words(bits));
}

StallAttribution::StallAttribution(const LaunchView& view) : measured_(std::make_unique<Measured>(view)) {}
StallAttribution::~StallAttribution() = default;
StallAttribution::StallAttribution(StallAttribution&&) noexcept = default;
StallAttribution& StallAttribution::operator=(StallAttribution&&) noexcept = default;

void StallAttribution::explain(record::StallRow& stall, StepSpan span) const {
  stall.op = -1;
  stall.phase.clear();
  stall.cause = "unknown";
  stall.culprit.clear();
  stall.confidence = 0.0;
  const auto extra_ns = static_cast<double>(stall.length_ns - stall.median_ns);
  if (extra_ns <= 0.0) {
    stall.why = "it is no longer than the median";
    return;
  }
  const bool clocked = measured_->clock_tells(extra_ns);
  const ArrivalRule rule = clocked ? ArrivalRule::common_clock : ArrivalRule::shortest_time;
  std::vector<Candidate> candidates = measured_->candidates(stall.step, rule, extra_ns, span);
  if (candidates.empty()) {
    stall.why = "nothing that was measured of this step took longer than usual";
    return;
  }
  Candidate& best = candidates.front();
  const double share = best.explained_ns / extra_ns;
  if (share < kExplains || best.cause == "unknown") {
    stall.why =
        shortened(share < kExplains
                      ? fmt::format("no cause explains half of the {} too long; the best, {}: {}",
                                    format_seconds(extra_ns / kNsPerS), format_percent(share, 0), best.why)
                      : best.why,
                  kMostWhy);
    return;
  }
  double confidence = confidence_of(candidates, extra_ns, best.why);
  if (clocked)
    measured_->check_other_rule(best, confidence, stall.step, extra_ns, span);
  measured_->check_path(best, confidence, stall.step, extra_ns);
  measured_->check_throttle(best, confidence, stall.step);
  if (measured_->by_time.steps.size() < kFewSteps) {
    confidence *= 0.6;
    best.why += fmt::format("; only {} steady steps to compare with", measured_->by_time.steps.size());
  }
  stall.op = best.op;
  if (best.op >= 0)
    stall.phase = measured_->view.graph[static_cast<std::size_t>(best.op)]->phase;
  stall.cause = best.cause;
  stall.culprit = shortened(best.culprit, kMostCulprit);
  stall.confidence = std::round(confidence * 100.0) / 100.0;  // more digits would pretend
  stall.why = shortened(best.why, kMostWhy);
}

std::vector<record::StallRow> find_stalls(const LaunchView& view, const stats::StallRule& rule) {
  struct Span {
    std::uint32_t step = 0;
    std::uint32_t rank = 0;
    std::int64_t begin_ns = 0;
    std::int64_t length_ns = 0;
  };
  const std::map<std::uint32_t, std::int64_t> saves = saving_times(view);
  std::vector<const record::StepRow*> before(view.rank_count(), nullptr);
  const auto pause_ns = [&](const record::StepRow& row) {
    const record::StepRow* earlier = row.rank < before.size() ? before[row.rank] : nullptr;
    if (earlier == nullptr || earlier->step + 1 != row.step)
      return std::int64_t{0};
    const auto save = saves.find(row.step);
    return std::max<std::int64_t>(0,
                                  row.begin_ns - earlier->end_ns - (save == saves.end() ? 0 : save->second));
  };
  std::vector<Span> spans;
  std::vector<double> times_s;
  for (std::size_t begin = 0; begin < view.steps.size();) {
    const record::StepRow& first = *view.steps[begin];
    Span span{.step = first.step};
    std::size_t ranks = 0;
    bool steady = true;
    for (; begin < view.steps.size() && view.steps[begin]->step == first.step; ++begin, ++ranks) {
      const record::StepRow& row = *view.steps[begin];
      steady = steady && (row.flags & step::kStepWarmup) == 0;
      const std::int64_t begin_ns = row.begin_ns - pause_ns(row);
      if (ranks == 0 || row.end_ns - begin_ns > span.length_ns)
        span = {row.step, row.rank, begin_ns, row.end_ns - begin_ns};
      if (row.rank < before.size())
        before[row.rank] = &row;
    }
    if (!steady || ranks != view.rank_count())
      continue;
    spans.push_back(span);
    times_s.push_back(seconds_from_ns(span.length_ns));
  }
  const stats::StallThreshold threshold = rule.threshold(times_s);
  const auto ns = [](double seconds) { return static_cast<std::int64_t>(std::llround(seconds * kNsPerS)); };
  std::vector<record::StallRow> stalls;
  for (std::size_t i = 0; i < spans.size(); ++i) {
    if (threshold.is_stall(times_s[i]))
      stalls.push_back({.leg = view.leg->leg,
                        .step = spans[i].step,
                        .rank = spans[i].rank,
                        .begin_ns = spans[i].begin_ns,
                        .length_ns = spans[i].length_ns,
                        .median_ns = ns(threshold.median),
                        .threshold_ns = ns(threshold.limit)});
  }
  return stalls;
}

std::vector<record::StallRow> attribute_stalls(const LaunchView& view, const stats::StallRule& rule) {
  std::vector<record::StallRow> stalls = find_stalls(view, rule);
  if (stalls.empty())
    return stalls;
  const StallAttribution attribution(view);
  for (record::StallRow& stall : stalls)
    attribution.explain(stall, StepSpan::end_to_end);
  return stalls;
}

}  // namespace lockstep::watch
