#include "harness/watch/incident_story.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <csignal>
#include <map>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "harness/core/clock.hpp"
#include "harness/core/units.hpp"
#include "harness/stats/stall.hpp"
#include "harness/watch/incidents.hpp"
#include "harness/watch/last_words.hpp"
#include "harness/watch/names.hpp"

namespace lockstep::watch {
namespace {

// As wide as the columns of the run file, with room for the end of the text.
constexpr std::size_t kMostCulprit = 120;
constexpr std::size_t kMostLine = 250;
constexpr std::size_t kMostStory = 1000;

/// Median length of the longest rank's steps, in seconds; 0 without steps.
double median_step_s(const LaunchView& view) {
  std::map<std::uint32_t, std::int64_t> longest;
  for (const record::StepRow* row : view.steps) {
    std::int64_t& length = longest[row->step];
    length = std::max(length, row->end_ns - row->begin_ns);
  }
  std::vector<double> times_s;
  times_s.reserve(longest.size());
  for (const auto& [step, length] : longest)
    times_s.push_back(seconds_from_ns(length));
  return stats::median(times_s);
}

std::string cost_text(const LaunchView& view, std::uint32_t lost, std::uint32_t saved) {
  if (lost == 0)
    return steps_completed(view) == 0 ? "No step had been completed." : "No completed step is lost.";
  const std::string time = format_seconds(lost * median_step_s(view));
  if (saved == 0)
    return fmt::format("{} completed step{} (about {}) {} lost: there was no checkpoint.", lost,
                       lost == 1 ? "" : "s", time, lost == 1 ? "is" : "are");
  return fmt::format("{} step{} after the checkpoint of step {} (about {}) {} lost.", lost,
                     lost == 1 ? "" : "s", saved, time, lost == 1 ? "is" : "are");
}

}  // namespace

std::string signal_name(int signal) {
  static constexpr std::array<std::pair<int, const char*>, 9> kNames{{{SIGHUP, "SIGHUP"},
                                                                      {SIGINT, "SIGINT"},
                                                                      {SIGILL, "SIGILL"},
                                                                      {SIGABRT, "SIGABRT"},
                                                                      {SIGBUS, "SIGBUS"},
                                                                      {SIGFPE, "SIGFPE"},
                                                                      {SIGKILL, "SIGKILL"},
                                                                      {SIGSEGV, "SIGSEGV"},
                                                                      {SIGTERM, "SIGTERM"}}};
  for (const auto& [number, name] : kNames) {
    if (number == signal)
      return name;
  }
  return fmt::format("signal {}", signal);
}

std::uint32_t steps_saved(const LaunchView& view) {
  std::map<std::uint32_t, std::set<std::uint32_t>> ranks;
  for (const record::CheckpointRow* row : view.checkpoints) {
    if (row->action == "save" && row->verified != 0)
      ranks[row->step].insert(row->rank);
  }
  std::uint32_t saved = view.leg->first_step;
  for (const auto& [step, of_step] : ranks) {
    if (of_step.size() == view.rank_count())
      saved = std::max(saved, step);
  }
  return saved;
}

void tell_story(record::IncidentRow& incident, const LaunchView& view,
                const std::optional<PostMortem>& found) {
  const std::uint32_t completed = view.leg->first_step + steps_completed(view);
  const std::uint32_t saved = steps_saved(view);
  incident.steps_lost = completed > saved ? completed - saved : 0;
  for (const record::RankRow* rank : view.ranks)
    incident.ranks_hit += rank == nullptr || rank->state != "complete" ? 1 : 0;
  std::string story = incident.cause + ".";
  if (incident.began_utc_ns != 0)
    story = format_utc(incident.began_utc_ns) + ": " + story;
  else
    story.front() = static_cast<char>(std::toupper(static_cast<unsigned char>(story.front())));
  if (found)
    story += " At " + found->paragraph;
  if (incident.began_utc_ns != 0 && incident.detected_utc_ns > incident.began_utc_ns)
    story += fmt::format(" Known after {}.",
                         format_seconds(seconds_from_ns(incident.detected_utc_ns - incident.began_utc_ns)));
  const bool completed_launch = view.end != nullptr && view.end->outcome == "completed";
  if (!spoils_only(incident.kind) || (incident.kind == "device_error" && !completed_launch))
    story += " " + cost_text(view, incident.steps_lost, saved);
  else
    incident.steps_lost = 0;  // what of the training is spoilt is not a matter of checkpoints
  incident.story = shortened(std::move(story), kMostStory);
  incident.culprit = shortened(std::move(incident.culprit), kMostCulprit);
  incident.cause = shortened(std::move(incident.cause), kMostLine);
  incident.first_symptom = shortened(std::move(incident.first_symptom), kMostLine);
}

}  // namespace lockstep::watch
