#include "harness/certify/drill_results.hpp"

#include <algorithm>
#include <map>
#include <set>

#include <fmt/format.h>

#include "harness/certify/incidents.hpp"
#include "harness/core/error.hpp"
#include "harness/core/text.hpp"
#include "harness/core/units.hpp"
#include "harness/watch/launch_view.hpp"

namespace lockstep::certify {
namespace {

/// What a kind of drill may rightly be called: kinds of incidents, and causes of stalls.
struct Names {
  std::vector<std::string> incidents;
  std::vector<std::string> stalls;
};

Names names_of(const plan::Drill& drill) {
  switch (drill.kind) {
    case plan::DrillKind::kill:
      return drill.rank ? Names{{"rank_killed"}, {}} : Names{{"host_lost"}, {}};
    case plan::DrillKind::crash:
      return {{"rank_crashed"}, {}};
    case plan::DrillKind::abort:
      return {{"rank_aborted"}, {}};
    case plan::DrillKind::stop:
      return drill.rank ? Names{{"hang"}, {"slow_compute", "slow_host", "late_launch"}}
                        : Names{{"host_lost", "hang"}, {"slow_host"}};
    case plan::DrillKind::slow:
      return {{}, {"slow_compute", "slow_host"}};
    case plan::DrillKind::hang:
      return {{"hang"}, {"late_launch", "slow_host"}};
    case plan::DrillKind::flip:
      return {{"wrong_data"}, {}};
    case plan::DrillKind::fill:
      return {{"disk_full"}, {}};
    case plan::DrillKind::cut:
    case plan::DrillKind::degrade:
      return {{"site_cut", "transport_error"}, {"slow_wan"}};
    case plan::DrillKind::lose:
      return {{"site_cut", "host_lost"}, {}};
  }
  LOCKSTEP_EXPECT(false, "no such kind of drill");
}

/// Everything about one leg and round.
class Scene {
 public:
  Scene(const record::Evidence& evidence, const plan::Drill& drill) : evidence_(evidence), drill_(drill) {
    for (const record::LegRow& row : evidence.legs) {
      if (row.name == drill.leg && row.round == drill.round)
        launches_.push_back(&row);
    }
    std::sort(launches_.begin(), launches_.end(),
              [](const auto* a, const auto* b) { return a->attempt < b->attempt; });
  }

  [[nodiscard]] const std::vector<const record::LegRow*>& launches() const { return launches_; }
  [[nodiscard]] const record::LegRow* launch(std::uint32_t leg) const {
    for (const record::LegRow* row : launches_) {
      if (row->leg == leg)
        return row;
    }
    return nullptr;
  }

  /// Whether the culprit is what the drill was done to. A rank that is all of its host may be called by the
  /// host, and the other way round; so may the only host of a site, and the rank that runs there.
  [[nodiscard]] bool is_target(const std::string& culprit) const {
    if (!drill_.between.empty()) {
      const std::string& a = drill_.between[0];
      const std::string& b = drill_.between[1];
      return culprit == a + " - " + b || culprit == b + " - " + a ||
             (drill_.one_way && culprit == a + " -> " + b);
    }
    const std::set<std::uint32_t> meant = ranks_of(plan::target_text(drill_));
    return !meant.empty() && ranks_of(culprit) == meant;
  }

 private:
  /// Ranks that `rank 4 on b2`, `host b2` or `site B` stands for, in the first attempt.
  [[nodiscard]] std::set<std::uint32_t> ranks_of(const std::string& place) const {
    std::set<std::uint32_t> ranks;
    if (launches_.empty())
      return ranks;
    const std::vector<std::string> words = split(place, ' ');
    for (const record::RankRow& row : evidence_.ranks) {
      if (row.leg != launches_.front()->leg || words.size() < 2)
        continue;
      const bool holds = (words[0] == "rank" && std::to_string(row.rank) == words[1]) ||
                         (words[0] == "host" && row.host == words[1]) ||
                         (words[0] == "site" && row.site == words[1]);
      if (holds)
        ranks.insert(row.rank);
    }
    return ranks;
  }

  const record::Evidence& evidence_;
  const plan::Drill& drill_;
  std::vector<const record::LegRow*> launches_;
};

const record::DrillRow* row_of(const record::Evidence& evidence, std::uint32_t index) {
  const auto found = std::find_if(evidence.drills.begin(), evidence.drills.end(),
                                  [index](const record::DrillRow& row) { return row.drill == index; });
  return found == evidence.drills.end() ? nullptr : &*found;
}

bool holds(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

/// The best that was found: right in kind and culprit before right in kind before anything.
void take_best(DrillResult& result, bool kind_right, bool culprit_right, const std::string& called,
               std::optional<double> detection_s) {
  const auto worth = [](bool kind, bool culprit) { return 2 * int{kind} + int{culprit}; };
  if (result.detected && worth(kind_right, culprit_right) <= worth(result.kind_right, result.culprit_right))
    return;
  result.detected = true;
  result.kind_right = kind_right;
  result.culprit_right = culprit_right;
  result.detected_as = called;
  result.detection_s = detection_s;
}

bool was_made(const record::DrillRow& row) {
  return !row.how.starts_with("could not be made");
}

/// The next fault that was made in the same leg and round: what comes after it is put down to that one.
const record::DrillRow* next_of(const record::Evidence& evidence, const plan::Plan& plan, const Scene& scene,
                                const record::DrillRow& made) {
  const record::DrillRow* next = nullptr;
  for (const record::DrillRow& row : evidence.drills) {
    if (row.begin_utc_ns > made.begin_utc_ns && row.drill != made.drill && row.drill < plan.drills.size() &&
        was_made(row) && scene.launch(row.leg) != nullptr &&
        (next == nullptr || row.begin_utc_ns < next->begin_utc_ns))
      next = &row;
  }
  return next;
}

/// The launch went on in spite of the fault: to its end, or to the next fault, and then past the step after
/// the one that was under way. A fault that is the last one before a launch fails has ended it.
bool was_survived(const record::Evidence& evidence, const record::DrillRow& made,
                  const record::DrillRow* next) {
  const auto completed = [&made](const record::LegEndRow& end) {
    return end.leg == made.leg && end.outcome == "completed";
  };
  if (std::any_of(evidence.leg_ends.begin(), evidence.leg_ends.end(), completed))
    return true;
  if (next == nullptr || next->leg != made.leg || made.step < 0)
    return false;
  const watch::LaunchView view = watch::view_of(evidence, made.leg);
  return view.steps_of(static_cast<std::uint32_t>(made.step) + 2).size() == view.rank_count();
}

/// When a launch after the one that the fault was made in had completed its first step.
std::optional<double> recovery_s(const record::Evidence& evidence, const Scene& scene,
                                 const record::DrillRow& made) {
  for (const record::LegRow* launch : scene.launches()) {
    if (launch->leg == made.leg || launch->launched_utc_ns < made.begin_utc_ns)
      continue;
    const watch::LaunchView view = watch::view_of(evidence, launch->leg);
    if (view.steps.empty())
      continue;
    std::optional<std::int64_t> first_ns;
    for (const record::StepRow* row : view.steps_of(view.steps.front()->step)) {
      const auto end_ns = view.to_utc_ns(row->rank, row->end_ns);
      if (end_ns)
        first_ns = std::max(first_ns.value_or(0), *end_ns);
    }
    if (first_ns)
      return seconds_from_ns(*first_ns - made.begin_utc_ns);
  }
  return std::nullopt;
}

DrillResult judge(const record::Evidence& evidence, const plan::Plan& plan, std::uint32_t index,
                  const std::vector<record::IncidentRow>& incidents) {
  const plan::Drill& drill = plan.drills[index];
  const Scene scene(evidence, drill);
  const Names names = names_of(drill);
  DrillResult result;
  result.index = index;
  result.kind = plan::to_string(drill.kind);
  result.target = plan::target_text(drill);
  result.expected = join(names.incidents, " or ");
  if (!names.stalls.empty())
    result.expected += (names.incidents.empty() ? "stalls: " : ", or stalls: ") + join(names.stalls, " or ");
  const record::DrillRow* made = row_of(evidence, index);
  result.made = made != nullptr && was_made(*made);
  if (!result.made)
    return result;
  const record::DrillRow* next = next_of(evidence, plan, scene, *made);
  for (const record::IncidentRow& incident : incidents) {
    if (scene.launch(incident.leg) == nullptr || incident.detected_utc_ns < made->begin_utc_ns)
      continue;
    const std::int64_t began_utc_ns =
        incident.began_utc_ns > 0 ? incident.began_utc_ns : incident.detected_utc_ns;
    if (next != nullptr && began_utc_ns >= next->begin_utc_ns)
      continue;
    take_best(result, holds(names.incidents, incident.kind), scene.is_target(incident.culprit),
              in_words(incident), seconds_from_ns(incident.detected_utc_ns - made->begin_utc_ns));
  }
  for (const record::StallRow& stall : evidence.stalls) {
    const record::LegRow* launch = scene.launch(stall.leg);
    if (launch == nullptr || launch->first_step + stall.step < drill.step)
      continue;
    if (next != nullptr && launch->first_step + stall.step >= plan.drills[next->drill].step)
      continue;
    take_best(result, holds(names.stalls, stall.cause), scene.is_target(stall.culprit),
              fmt::format("stall, {}{}{} (confidence {:.2f})", stall.cause, stall.culprit.empty() ? "" : ", ",
                          stall.culprit, stall.confidence),
              std::nullopt);
  }
  result.recovered = was_survived(evidence, *made, next);
  if (!result.recovered) {
    result.recovery_s = recovery_s(evidence, scene, *made);
    result.recovered = result.recovery_s.has_value();
  }
  return result;
}

}  // namespace

std::vector<DrillResult> judge_drills(const record::Evidence& evidence, const plan::Plan& plan,
                                      const std::vector<record::IncidentRow>& incidents) {
  std::vector<DrillResult> results;
  for (std::uint32_t i = 0; i < plan.drills.size(); ++i)
    results.push_back(judge(evidence, plan, i, incidents));
  return results;
}

}  // namespace lockstep::certify
