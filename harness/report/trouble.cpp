#include "harness/report/trouble.hpp"

#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "harness/certify/incidents.hpp"
#include "harness/core/units.hpp"
#include "harness/report/table.hpp"

namespace lockstep::report {
namespace {

constexpr double kUsPerS = 1e6;
constexpr const char* kBullet = "  - ";

const char* cause_words(const std::string& cause) {
  if (cause == "slow_compute")
    return "slow computing";
  if (cause == "slow_host")
    return "slow host";
  if (cause == "slow_lan")
    return "slow inside a site";
  if (cause == "slow_wan")
    return "slow between sites";
  if (cause == "late_launch")
    return "communication entered late";
  return "cause unknown";
}

std::string cause_text(const record::StallRow& stall) {
  if (stall.confidence <= 0.0)
    return cause_words(stall.cause);
  return fmt::format("{}{}{} (confidence {:.2f})", cause_words(stall.cause),
                     stall.culprit.empty() ? "" : ", ", stall.culprit, stall.confidence);
}

}  // namespace

std::string stall_lines(const std::vector<record::StallRow>& stalls, const Style& style) {
  std::string text;
  for (const record::StallRow& stall : stalls) {
    const std::string line = fmt::format(
        "launch {}, step {}: {} (median {}), longest on rank {}; {}{}{}", stall.leg, stall.step,
        format_seconds(seconds_from_ns(stall.length_ns)), format_seconds(seconds_from_ns(stall.median_ns)),
        stall.rank, cause_text(stall), stall.why.empty() ? "" : ": ", stall.why);
    text += wrap(line, kBullet, style.width);
  }
  return text;
}

nlohmann::ordered_json stall_json(const record::StallRow& stall) {
  return {{"launch", stall.leg},
          {"step", stall.step},
          {"rank", stall.rank},
          {"length_us", seconds_from_ns(stall.length_ns) * kUsPerS},
          {"median_us", seconds_from_ns(stall.median_ns) * kUsPerS},
          {"op", stall.op},
          {"phase", stall.phase},
          {"cause", stall.cause},
          {"culprit", stall.culprit},
          {"confidence", stall.confidence},
          {"why", stall.why}};
}

std::string incident_lines(const std::vector<record::IncidentRow>& incidents, const Style& style) {
  std::string text;
  for (const record::IncidentRow& incident : incidents) {
    std::string line = fmt::format("launch {}: {}. {}", incident.leg, certify::in_words(incident),
                                   incident.story.empty() ? incident.cause : incident.story);
    if (!incident.recovery.empty())
      line += fmt::format(" Then: {}{}{}.", incident.recovery, incident.recovery_detail.empty() ? "" : ", ",
                          incident.recovery_detail);
    text += wrap(line, kBullet, style.width);
  }
  return text;
}

nlohmann::ordered_json incident_json(const record::IncidentRow& incident) {
  return {{"launch", incident.leg},
          {"incident", incident.incident},
          {"kind", incident.kind},
          {"culprit", incident.culprit},
          {"confidence", incident.confidence},
          {"step", incident.step},
          {"op", incident.op},
          {"began_utc_ns", incident.began_utc_ns},
          {"detected_utc_ns", incident.detected_utc_ns},
          {"ranks_hit", incident.ranks_hit},
          {"steps_lost", incident.steps_lost},
          {"first_symptom", incident.first_symptom},
          {"cause", incident.cause},
          {"story", incident.story},
          {"recovery", incident.recovery},
          {"recovery_detail", incident.recovery_detail}};
}

std::string drill_table(const std::vector<certify::DrillResult>& drills, const Style& style) {
  if (drills.empty())
    return {};
  const auto seconds = [](const std::optional<double>& value) {
    return value ? format_seconds(*value) : std::string("-");
  };
  Table table({{"drill"},
               {"found"},
               {"kind"},
               {"culprit"},
               {"known after", Align::right},
               {"going on after", Align::right}});
  const auto right = [](bool is, bool told) {
    return Cell{told ? (is ? "right" : "wrong") : "-", told && !is ? Emphasis::bad : Emphasis::plain};
  };
  for (const certify::DrillResult& drill : drills) {
    table.add({{fmt::format("{} {} {}", drill.index, drill.kind, drill.target)},
               {!drill.made      ? "not made"
                : drill.detected ? drill.detected_as
                                 : "NOT SEEN",
                drill.detected ? Emphasis::plain : Emphasis::bad},
               right(drill.kind_right, drill.detected),
               right(drill.culprit_right, drill.detected),
               {seconds(drill.detection_s)},
               {drill.recovered ? seconds(drill.recovery_s) : "never"}});
  }
  return table.render(style);
}

std::string time_table(const certify::TimeAccount& account, const Style& style) {
  if (account.wall_s <= 0.0)
    return {};
  Table table({{"time"}, {"seconds", Align::right}, {"share", Align::right}});
  for (std::size_t i = 0; i < certify::kTimeBuckets; ++i) {
    std::string name = certify::to_string(static_cast<certify::TimeBucket>(i));
    std::replace(name.begin(), name.end(), '_', ' ');
    table.add({{name},
               {fmt::format("{:.3f}", account.seconds[i])},
               {format_percent(account.seconds[i] / account.wall_s, 1)}});
  }
  table.add({{"wall"}, {fmt::format("{:.3f}", account.wall_s)}, {""}});
  return table.render(style) +
         fmt::format(
             "  {} attempts; {} steps kept, {} lost; goodput {:.4g} tokens/s of wall time (kept steps, all "
             "ranks)\n",
             account.attempts, account.kept_steps, account.lost_steps, account.kept_tokens / account.wall_s);
}

}  // namespace lockstep::report
