#include "harness/report/verdict.hpp"

#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "harness/core/units.hpp"
#include "harness/report/table.hpp"
#include "harness/report/trouble.hpp"

namespace lockstep::report {
namespace {

using certify::Certificate;
using certify::Criterion;

constexpr std::size_t kMostDifferences = 20;
constexpr std::size_t kMostStalls = 3;

/// What a grade says about the sites.
const char* meaning(plan::Grade grade) {
  switch (grade) {
    case plan::Grade::a_plus:
    case plan::Grade::a:
      return "one supercomputer";
    case plan::Grade::b:
      return "one supercomputer, tuned";
    case plan::Grade::c:
      return "federated: a low-communication scheme keeps the sites busy, synchronous training does not";
    case plan::Grade::d:
      return "separate sites";
    case plan::Grade::inconclusive:
      return "inconclusive: the evidence does not carry a verdict";
  }
  return "";
}

Emphasis emphasis_of(const Certificate& certificate) {
  if (certificate.certified)
    return Emphasis::good;
  return certificate.grade == plan::Grade::inconclusive ? Emphasis::warning : Emphasis::bad;
}

std::string certified_text(const Certificate& certificate) {
  const char* required = plan::to_string(certificate.required_grade);
  if (!certificate.certified)
    return fmt::format("NOT CERTIFIED (grade {} was required)", required);
  return fmt::format("{} (grade {} was required)",
                     certificate.is_rehearsal() ? "PASSED AS A REHEARSAL" : "CERTIFIED", required);
}

std::string number(double value, const std::string& unit) {
  if (unit == "s")
    return format_seconds(value);
  if (unit == "1" || unit == "count" || unit.empty())
    return fmt::format("{:.4g}", value);
  return fmt::format("{:.4g} {}", value, unit);
}

Cell status_cell(const Criterion& criterion) {
  const Emphasis emphasis = criterion.status == certify::Status::pass   ? Emphasis::good
                            : criterion.status == certify::Status::fail ? Emphasis::bad
                                                                        : Emphasis::warning;
  return {certify::to_string(criterion.status), emphasis};
}

std::string criteria_table(const Certificate& certificate, const Style& style) {
  Table table(
      {{"status"}, {"criterion"}, {"value", Align::right}, {"interval"}, {"threshold", Align::right}});
  for (const Criterion& criterion : certificate.criteria) {
    std::string title = criterion.title.empty() ? criterion.name : criterion.title;
    if (!criterion.for_grade_a)
      title += " *";
    table.add({status_cell(criterion),
               {title},
               {criterion.value ? number(*criterion.value, criterion.unit) : "?"},
               {criterion.interval ? fmt::format("[{}, {}]", number(criterion.interval->low, criterion.unit),
                                                 number(criterion.interval->high, criterion.unit))
                                   : ""},
               {fmt::format("{} {}", criterion.bound == certify::Bound::at_least ? ">=" : "<=",
                            number(criterion.threshold, criterion.unit))}});
  }
  std::string text = table.render(style);
  const bool starred = std::any_of(certificate.criteria.begin(), certificate.criteria.end(),
                                   [](const Criterion& one) { return !one.for_grade_a; });
  if (starred)
    text += "  * decides about another grade than A\n";
  return text;
}

/// Over what each value is taken: what a reader of a quantile or a ratio asks next.
std::string axes(const Certificate& certificate, const Style& style) {
  std::string text;
  for (const Criterion& criterion : certificate.criteria) {
    if (!criterion.axis.empty())
      text += wrap(fmt::format("{}: {}", criterion.name, criterion.axis), "  - ", style.width);
  }
  return text;
}

std::string leg_table(const Certificate& certificate, const Style& style) {
  Table table({{"leg"},
               {"ranks", Align::right},
               {"steps", Align::right},
               {"p50", Align::right},
               {"p95", Align::right},
               {"p99", Align::right},
               {"compute", Align::right},
               {"exposed", Align::right},
               {"waiting", Align::right},
               {"tokens/s", Align::right},
               {"stalls", Align::right}});
  const auto tail = [](const std::optional<double>& seconds) {
    return seconds ? format_seconds(*seconds) : "-";
  };
  for (const certify::LegMetrics& leg : certificate.metrics.legs) {
    const auto& time = leg.figures.time_s;
    const bool any = time.count > 0;
    table.add({{leg.name, Emphasis::strong},
               {std::to_string(leg.ranks)},
               {std::to_string(time.count)},
               {any ? format_seconds(time.p50) : "-"},
               {tail(time.p95)},
               {tail(time.p99)},
               {any ? format_percent(leg.compute_share) : "-"},
               {any ? format_percent(leg.exposed_share) : "-"},
               {any ? format_percent(leg.waiting_share) : "-"},
               {any ? format_count(leg.figures.tokens_per_s_per_rank * leg.ranks) : "-"},
               {std::to_string(leg.figures.stalls)}});
  }
  return table.render(style);
}

std::string bullets(const std::vector<std::string>& lines, const Style& style) {
  std::string text;
  for (const std::string& line : lines)
    text += wrap(line, "  - ", style.width);
  return text;
}

std::vector<record::StallRow> longest_stalls(const Certificate& certificate) {
  std::vector<record::StallRow> stalls = certificate.metrics.stalls.worst;
  if (stalls.size() > kMostStalls)
    stalls.resize(kMostStalls);
  return stalls;
}

/// What stands out and is not among the reasons: a good grade has others.
std::vector<std::string> devices_aside(const Certificate& certificate) {
  std::vector<std::string> lines = certify::describe_devices(certificate.metrics.devices);
  std::erase_if(lines, [&certificate](const std::string& line) {
    return std::find(certificate.reasons.begin(), certificate.reasons.end(), line) !=
           certificate.reasons.end();
  });
  return lines;
}

std::string headed(const Style& style, Emphasis emphasis, const std::string& heading,
                   const std::string& body) {
  return body.empty() ? std::string{} : "\n" + paint(style, emphasis, heading) + "\n" + body;
}

}  // namespace

std::string verdict_text(const Certificate& certificate, const std::string& folder, const Style& style) {
  const Emphasis emphasis = emphasis_of(certificate);
  std::string text = fmt::format(
      "\n{}  {}\n{}\n", paint(style, emphasis, fmt::format("GRADE {}", plan::to_string(certificate.grade))),
      paint(style, Emphasis::strong, meaning(certificate.grade)),
      paint(style, emphasis, certified_text(certificate)));
  text +=
      headed(style, Emphasis::warning,
             "A rehearsal, and no certificate of hardware:", bullets(certificate.rehearsal_reasons, style));
  text += headed(style, Emphasis::warning,
                 "Criteria that the plan changes:", bullets(certificate.changed_criteria, style));
  text += headed(style, Emphasis::strong, "Why", bullets(certificate.reasons, style));
  if (certificate.gaps != certificate.reasons)
    text += headed(style, Emphasis::warning, "What the evidence lacks", bullets(certificate.gaps, style));
  text += headed(style, Emphasis::warning, "Incidents", incident_lines(certificate.incidents, style));
  text += headed(style, Emphasis::strong, "Drills", drill_table(certificate.drills, style));
  text += headed(style, Emphasis::strong, "Criteria", criteria_table(certificate, style));
  text += headed(style, Emphasis::strong, "Step time of each leg, over steady steps of all its rounds",
                 leg_table(certificate, style));
  text +=
      "  compute, exposed communication and waiting: of the worst rank in each step; tokens/s of all ranks\n";
  text += headed(style, Emphasis::strong, "Longest stalls of the joint leg",
                 stall_lines(longest_stalls(certificate), style));
  text +=
      headed(style, Emphasis::warning, "Devices that stand out", bullets(devices_aside(certificate), style));
  // An undisturbed run has nothing to tell here that the tables above do not.
  if (!certificate.incidents.empty() || !certificate.drills.empty())
    text += headed(style, Emphasis::strong,
                   "Where the time of the joint leg went, from launch to end of all rounds",
                   time_table(certificate.metrics.joint_time, style));
  text += headed(style, Emphasis::strong, "What would lift the grade", bullets(certificate.advice, style));
  text += headed(style, Emphasis::faint, "What each value is taken over", axes(certificate, style));
  text += fmt::format(
      "\nFiles  {}\n"
      "  certificate.json  the verdict, for machines\n"
      "  run.h5            the evidence, SHA-256 {}\n"
      "  lockstep verify {}\n"
      "  lockstep show {}\n",
      folder, certificate.evidence_sha256, folder, folder);
  return text;
}

std::string verification_text(const certify::FolderVerification& found, const std::string& folder,
                              const Style& style) {
  const Certificate& certificate = found.recomputed;
  const std::string changed =
      headed(style, Emphasis::warning,
             "Criteria that the plan changes:", bullets(certificate.changed_criteria, style));
  const char* rehearsal = certificate.is_rehearsal() ? "; a rehearsal, and no certificate of hardware" : "";
  if (found.verification.equal()) {
    return fmt::format("{}  {}: certificate.json is exactly what the evidence gives\nGRADE {}  {}\n{}{}\n{}",
                       paint(style, Emphasis::good, "EQUAL"), folder, plan::to_string(certificate.grade),
                       meaning(certificate.grade), certified_text(certificate), rehearsal, changed);
  }
  const auto& differences = found.verification.differences;
  std::string text = fmt::format("{}  {}: the certificate is not what the evidence gives\n",
                                 paint(style, Emphasis::bad, "DIFFERENT"), folder);
  Table table({{"where"}, {"stated"}, {"recomputed"}});
  const std::size_t shown = std::min(differences.size(), kMostDifferences);
  for (std::size_t i = 0; i < shown; ++i) {
    const certify::Difference& one = differences[i];
    table.add({{one.path.empty() ? "(whole file)" : one.path}, {one.stated}, {one.recomputed}});
  }
  text += table.render(style);
  if (shown < differences.size())
    text += fmt::format("  ... and {} more\n", differences.size() - shown);
  text +=
      fmt::format("The evidence itself gives grade {}{}\n", plan::to_string(certificate.grade), rehearsal);
  return text + changed;
}

std::string verification_json(const certify::FolderVerification& found, const std::string& folder) {
  nlohmann::ordered_json differences = nlohmann::ordered_json::array();
  for (const certify::Difference& one : found.verification.differences)
    differences.push_back({{"path", one.path}, {"stated", one.stated}, {"recomputed", one.recomputed}});
  const nlohmann::ordered_json document = {
      {"results", folder},
      {"equal", found.verification.equal()},
      {"differences", differences},
      {"recomputed",
       {{"grade", plan::to_string(found.recomputed.grade)},
        {"required_grade", plan::to_string(found.recomputed.required_grade)},
        {"certified", found.recomputed.certified},
        {"rehearsal", found.recomputed.is_rehearsal()},
        {"changed_criteria", found.recomputed.changed_criteria},
        {"evidence_sha256", found.recomputed.evidence_sha256}}}};
  return document.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace lockstep::report
