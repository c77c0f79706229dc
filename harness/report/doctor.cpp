#include "harness/report/doctor.hpp"

#include <algorithm>
#include <limits>

#include <fmt/format.h>

#include "harness/campaign/survey_view.hpp"
#include "harness/core/text.hpp"
#include "harness/core/units.hpp"
#include "harness/report/table.hpp"

namespace lockstep::report {
namespace {

using campaign::Finding;
using campaign::HostFacts;
using campaign::Severity;

constexpr const char* kUnknown = "?";
constexpr const char* kIndent = "           ";  // as wide as the badge before a finding

Emphasis emphasis_of(Severity severity) {
  switch (severity) {
    case Severity::error:
      return Emphasis::bad;
    case Severity::warning:
      return Emphasis::warning;
    case Severity::note:
      return Emphasis::faint;
  }
  return Emphasis::plain;
}

std::string count_of(const std::vector<Finding>& findings, Severity severity, const char* name) {
  const auto count = std::count_if(findings.begin(), findings.end(),
                                   [severity](const Finding& one) { return one.severity == severity; });
  return fmt::format("{} {}{}", count, name, count == 1 ? "" : "s");
}

std::string findings_text(const std::vector<Finding>& findings, const Style& style) {
  std::string text = paint(style, Emphasis::strong, "Findings") +
                     fmt::format(": {}, {}, {}\n", count_of(findings, Severity::error, "error"),
                                 count_of(findings, Severity::warning, "warning"),
                                 count_of(findings, Severity::note, "note"));
  for (const Finding& finding : findings) {
    const std::string badge = fmt::format("  {:<9}", campaign::to_string(finding.severity));
    // The badge is painted after the lines are broken: colours have no width.
    std::string lines = wrap(finding.what, badge, style.width);
    lines.replace(0, badge.size(), paint(style, emphasis_of(finding.severity), badge));
    text += "\n" + lines;
    text += wrap("Why: " + finding.why, kIndent, style.width);
    text += wrap("Do: " + finding.advice, kIndent, style.width);
  }
  return text;
}

std::string seconds_or(const std::optional<double>& seconds) {
  return seconds ? format_seconds(*seconds) : kUnknown;
}

std::string rate_or(const std::optional<double>& bytes_per_s) {
  return bytes_per_s ? format_rate(*bytes_per_s) : kUnknown;
}

std::string software(const HostFacts& facts, const char* key) {
  const auto at = facts.software.find(key);
  return at == facts.software.end() || at->second.empty() ? kUnknown : at->second;
}

std::string host_table(const Preflight& preflight, const Style& style) {
  std::vector<Column> columns = {{"host"},
                                 {"site"},
                                 {"ranks", Align::right},
                                 {"cores", Align::right},
                                 {"memory", Align::right},
                                 {"load", Align::right},
                                 {"lockstep"},
                                 {"Open MPI"},
                                 {"kernel"},
                                 {"clock"}};
  const bool gpus = plan::uses_gpus(preflight.plan);
  if (gpus)
    columns.insert(columns.end(), {{"GPUs"}, {"driver"}});
  Table table(columns);
  for (const campaign::SurveyedHost& host : preflight.survey.hosts) {
    std::vector<Cell> row = {{host.name, Emphasis::strong},
                             {preflight.plan.sites[host.site.value()].name},
                             {std::to_string(host.slots)}};
    if (!host.facts) {
      for (int i = 0; i < 6; ++i)
        row.push_back({"-"});
      row.push_back({"no answer", Emphasis::bad});
    } else {
      const HostFacts& facts = *host.facts;
      row.insert(row.end(), {{std::to_string(facts.usable_cpus)},
                             {format_bytes(static_cast<double>(facts.memory_bytes))},
                             {fmt::format("{:.2f}", facts.load_average)},
                             {software(facts, "lockstep version")},
                             {software(facts, "Open MPI")},
                             {software(facts, "kernel")},
                             {facts.clock_state.empty() ? kUnknown : facts.clock_state}});
    }
    if (gpus && !host.facts)
      row.insert(row.end(), {{"-"}, {"-"}});
    else if (gpus)
      row.insert(row.end(), {{software(*host.facts, "GPUs")}, {software(*host.facts, "NVIDIA driver")}});
    table.add(std::move(row));
  }
  return table.render(style);
}

std::string loss_text(const campaign::SiteDirection& direction) {
  if (direction.sent == 0)
    return kUnknown;
  if (direction.received >= direction.sent)
    return fmt::format("0 of {}", direction.sent);
  return format_percent(1.0 - static_cast<double>(direction.received) / direction.sent, 2);
}

std::string link_table(const Preflight& preflight, const Style& style) {
  const campaign::SurveyView view(preflight.plan, preflight.survey);
  Table table({{"from"},
               {"to"},
               {"reach", Align::right},
               {"RTT min", Align::right},
               {"p50", Align::right},
               {"p99", Align::right},
               {"lost", Align::right},
               {"MTU", Align::right},
               {"1 stream", Align::right},
               {"4 streams", Align::right}});
  for (const campaign::SiteDirection& direction : campaign::site_directions(view, preflight.survey)) {
    const bool whole = direction.reachable == direction.pairs;
    const bool inside = direction.from == direction.to && !direction.one_stream_bytes_per_s;
    table.add(
        {{view.site(direction.from), Emphasis::strong},
         {view.site(direction.to), Emphasis::strong},
         {fmt::format("{}/{}", direction.reachable, direction.pairs), whole ? Emphasis::good : Emphasis::bad},
         {seconds_or(direction.min_s)},
         {seconds_or(direction.p50_s)},
         {seconds_or(direction.p99_s)},
         {loss_text(direction), direction.received < direction.sent ? Emphasis::bad : Emphasis::plain},
         {direction.path_mtu ? std::to_string(*direction.path_mtu) : kUnknown},
         {inside ? "-" : rate_or(direction.one_stream_bytes_per_s)},
         {inside ? "-" : rate_or(direction.streams_bytes_per_s)}});
  }
  if (table.empty())
    return {};
  return "\nBetween hosts, by site\n" + table.render(style) +
         "  TCP round trips of 40 bytes; p50: median over host pairs, p99: the worst pair's. lost: UDP, one "
         "way. "
         "MTU: the\n  smallest path, UDP, not fragmented. streams: TCP between one host pair, counted by the "
         "receiver.\n";
}

std::string limit_text(std::uint64_t bytes) {
  return bytes == std::numeric_limits<std::uint64_t>::max() ? "no limit"
                                                            : format_bytes(static_cast<double>(bytes));
}

std::string or_problem(const std::string& value, const std::string& problem) {
  return problem.empty() ? value : "no: " + problem;
}

}  // namespace

std::string preflight_text(const Preflight& preflight, const Style& style) {
  std::string text =
      fmt::format("{}  {}\n", paint(style, Emphasis::strong, "Preflight of plan " + preflight.plan.name),
                  paint(style, Emphasis::faint, preflight.plan.path));
  if (!preflight.folder.empty())
    text += "  survey in " + preflight.folder + "\n";
  text += "\nHosts\n" + host_table(preflight, style);
  text += link_table(preflight, style);
  text += "\n" + findings_text(preflight.findings, style);
  return text;
}

std::string local_text(const campaign::LocalMachine& machine, const std::vector<Finding>& findings,
                       const Style& style) {
  const HostFacts& facts = machine.facts;
  Table table({{"what"}, {"here"}});
  const auto add = [&table](const char* what, std::string here) {
    table.add({{what, Emphasis::strong}, {std::move(here)}});
  };
  add("lockstep", software(facts, "lockstep version"));
  add("launcher",
      or_problem(fmt::format("{} (Open MPI {})", machine.programs.launcher, software(facts, "Open MPI")),
                 machine.launcher_problem));
  add("lockstep-rank",
      or_problem(fmt::format("{} ({})", machine.programs.rank_program, software(facts, "libmpi")),
                 machine.rank_problem));
  add("HDF5", software(facts, "HDF5"));
  add("kernel", software(facts, "kernel"));
  add("cores",
      fmt::format("{} usable ({}){}", facts.usable_cpus, facts.cpu_list,
                  facts.cgroup_cpus > 0.0 ? fmt::format(", a cgroup allows {:.3g}", facts.cgroup_cpus) : ""));
  add("load", fmt::format("{:.2f} over one minute", facts.load_average));
  add("memory", format_bytes(static_cast<double>(facts.memory_bytes)) +
                    (facts.cgroup_memory_bytes > 0
                         ? ", a cgroup allows " + format_bytes(static_cast<double>(facts.cgroup_memory_bytes))
                         : ""));
  add("locked memory", limit_text(facts.memlock_bytes));
  add("open files", std::to_string(facts.open_files));
  add("socket buffers", fmt::format("tcp_rmem up to {}, tcp_wmem up to {}, congestion control {}",
                                    format_bytes(static_cast<double>(facts.tcp_rmem_max)),
                                    format_bytes(static_cast<double>(facts.tcp_wmem_max)),
                                    facts.congestion_control.empty() ? kUnknown : facts.congestion_control));
  add("clock", fmt::format("{}, source {}", facts.clock_state.empty() ? "state not known" : facts.clock_state,
                           facts.clock_source.empty() ? kUnknown : facts.clock_source));
  add("GPUs", machine.gpus.empty() ? "none (the NVIDIA driver lists none)" : join(machine.gpus, ", "));
  add("lab", or_problem("yes: campuses can be emulated", machine.lab_problem));
  return paint(style, Emphasis::strong, "This machine: " + facts.host_name) + "\n" + table.render(style) +
         "\n" + findings_text(findings, style);
}

}  // namespace lockstep::report
