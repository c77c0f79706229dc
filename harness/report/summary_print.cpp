#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "harness/core/text.hpp"
#include "harness/core/units.hpp"
#include "harness/report/summary.hpp"
#include "harness/report/table.hpp"
#include "harness/report/trouble.hpp"

namespace lockstep::report {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kMostFailuresShown = 20;
constexpr double kUsPerS = 1e6;
constexpr double kBytesPerGb = 1e9;

/// A tail quantile, or how many samples it would take.
std::string tail_text(const stats::Summary& summary, const std::optional<double>& value) {
  return value ? format_seconds(*value) : fmt::format("n={}", summary.count);
}

Emphasis emphasis_of(const std::string& outcome) {
  if (outcome == "completed")
    return Emphasis::good;
  return outcome == "failed" ? Emphasis::bad : Emphasis::warning;
}

std::string launch_table(const RunSummary& summary, const Style& style) {
  Table table({{"launch", Align::right},
               {"leg"},
               {"round", Align::right},
               {"outcome"},
               {"ranks", Align::right},
               {"steps", Align::right},
               {"p50", Align::right},
               {"p95", Align::right},
               {"p99", Align::right},
               {"max", Align::right},
               {"exposed", Align::right},
               {"stalls", Align::right},
               {"failures", Align::right}});
  for (const LaunchSummary& launch : summary.launches) {
    const std::string outcome = launch.end ? launch.end->outcome : "cut short";
    const bool any = launch.step_s.count > 0;
    table.add({{std::to_string(launch.planned.leg)},
               {launch.planned.name, Emphasis::strong},
               {std::to_string(launch.planned.round + 1)},
               {outcome, emphasis_of(outcome)},
               {std::to_string(launch.planned.ranks)},
               {fmt::format("{}/{}", launch.step_s.count, launch.planned.steps)},
               {any ? format_seconds(launch.step_s.p50) : "-"},
               {any ? tail_text(launch.step_s, launch.step_s.p95) : "-"},
               {any ? tail_text(launch.step_s, launch.step_s.p99) : "-"},
               {any ? format_seconds(launch.step_s.max) : "-"},
               {any ? format_percent(launch.exposed_share) : "-"},
               {std::to_string(launch.stalls), launch.stalls > 0 ? Emphasis::warning : Emphasis::plain},
               {std::to_string(launch.failures), launch.failures > 0 ? Emphasis::bad : Emphasis::plain}});
  }
  return table.render(style);
}

std::string host_table(const RunSummary& summary, const Style& style) {
  Table table({{"site"},
               {"host"},
               {"ranks", Align::right},
               {"complete", Align::right},
               {"compute"},
               {"progress"},
               {"GEMM peak", Align::right}});
  for (const HostSummary& host : summary.hosts) {
    std::string peak = "-";
    if (host.most_gflops > 0.0) {
      peak = host.least_gflops < host.most_gflops
                 ? fmt::format("{:.1f}-{:.1f} GFLOP/s", host.least_gflops, host.most_gflops)
                 : fmt::format("{:.1f} GFLOP/s", host.most_gflops);
    }
    table.add({{host.site, Emphasis::strong},
               {host.host},
               {std::to_string(host.ranks)},
               {std::to_string(host.complete), host.complete < host.ranks ? Emphasis::bad : Emphasis::plain},
               {host.compute},
               {host.progress},
               {peak}});
  }
  return table.render(style);
}

std::string comm_table(const RunSummary& summary, const Style& style) {
  Table table({{"leg"},
               {"operation"},
               {"group"},
               {"ranks", Align::right},
               {"ops", Align::right},
               {"size", Align::right},
               {"count", Align::right},
               {"type"},
               {"redop"},
               {"time", Align::right},
               {"p99", Align::right},
               {"wait", Align::right},
               {"algbw", Align::right},
               {"busbw", Align::right},
               {"cutbw", Align::right},
               {"#wrong", Align::right}});
  for (const CommSummary& comm : summary.comms) {
    const bool any = comm.time_s.count > 0;
    const auto rate = [any](double bytes_per_s) {
      return any ? fmt::format("{:.3f}", bytes_per_s / kBytesPerGb) : "-";
    };
    table.add({{comm.leg, Emphasis::strong},
               {comm.kind},
               {comm.sites > 1 ? fmt::format("{} ({} sites)", comm.group, comm.sites) : comm.group},
               {std::to_string(comm.ranks)},
               {std::to_string(comm.ops)},
               {format_bytes(static_cast<double>(comm.size_bytes))},
               {std::to_string(comm.count)},
               {comm.type},
               {comm.redop},
               {any ? format_seconds(comm.time_s.p50) : "-"},
               {any ? tail_text(comm.time_s, comm.time_s.p99) : "-"},
               {any ? format_seconds(comm.wait_p50_s) : "-"},
               {rate(comm.algbw)},
               {rate(comm.busbw)},
               {comm.cutbw ? rate(*comm.cutbw) : "-"},
               {std::to_string(comm.wrong), comm.wrong > 0 ? Emphasis::bad : Emphasis::plain}});
  }
  return table.render(style);
}

std::string place_of(std::int32_t rank, std::int32_t step, std::int32_t op) {
  std::string text;
  if (rank >= 0)
    text += fmt::format(", rank {}", rank);
  if (step >= 0)
    text += fmt::format(", step {}", step);
  if (op >= 0)
    text += fmt::format(", op {}", op);
  return text;
}

std::string failure_lines(const RunSummary& summary, const Style& style) {
  std::string text;
  const std::size_t shown = std::min(summary.failures.size(), kMostFailuresShown);
  for (std::size_t i = 0; i < shown; ++i) {
    const record::FailureRow& row = summary.failures[i];
    text += fmt::format("  {}  launch {}{}: {}\n", paint(style, Emphasis::bad, row.kind), row.leg,
                        place_of(row.rank, row.step, row.op), row.message);
  }
  if (shown < summary.failures.size())
    text += fmt::format("  ... and {} more\n", summary.failures.size() - shown);
  return text;
}

std::string fact_lines(const RunSummary& summary, const Style& style) {
  Table table({{"fact"}, {"value"}});
  for (const FactSummary& fact : summary.facts) {
    if (fact.key == "launch_command")
      continue;
    std::string value = join(fact.values, " | ");
    if (fact.distinct > fact.values.size())
      value += fmt::format(" | ... ({} different values)", fact.distinct);
    constexpr std::size_t kMostCharacters = 120;
    if (value.size() > kMostCharacters)
      value = value.substr(0, kMostCharacters - 3) + "...";
    table.add({{fact.key}, {value}});
  }
  return table.empty() ? std::string{} : table.render(style);
}

Json us_json(const stats::Summary& summary) {
  if (summary.count == 0)
    return {{"count", 0}};
  const auto tail = [](const std::optional<double>& s) { return s ? Json(*s * kUsPerS) : Json(nullptr); };
  return {{"count", summary.count},          {"min_us", summary.min * kUsPerS},
          {"max_us", summary.max * kUsPerS}, {"avg_us", summary.mean * kUsPerS},
          {"p50_us", summary.p50 * kUsPerS}, {"p95_us", tail(summary.p95)},
          {"p99_us", tail(summary.p99)},     {"stdev_us", summary.stdev * kUsPerS}};
}

Json launch_json(const LaunchSummary& launch) {
  return {{"launch", launch.planned.leg},
          {"leg", launch.planned.name},
          {"kind", launch.planned.kind},
          {"sites", launch.planned.sites},
          {"round", launch.planned.round},
          {"attempt", launch.planned.attempt},
          {"ranks", launch.planned.ranks},
          {"outcome", launch.end ? Json(launch.end->outcome) : Json(nullptr)},
          {"exit_status", launch.end ? Json(launch.end->exit_status) : Json(nullptr)},
          {"message", launch.end ? Json(launch.end->message) : Json(nullptr)},
          {"steps_planned", launch.planned.steps},
          {"warmup_steps", launch.warmup_steps},
          {"partial_steps", launch.partial_steps},
          {"step_time", us_json(launch.step_s)},
          {"exposed_share", launch.exposed_share},
          {"stalls", launch.stalls},
          {"failures", launch.failures}};
}

Json comm_json(const CommSummary& comm) {
  return {{"leg", comm.leg},
          {"operation", comm.kind},
          {"group", comm.group},
          {"ranks", comm.ranks},
          {"sites", comm.sites},
          {"ops", comm.ops},
          {"size", comm.size_bytes},
          {"count", comm.count},
          {"type", comm.type},
          {"redop", comm.redop},
          {"time", us_json(comm.time_s)},
          {"wait_p50_us", comm.wait_p50_s * kUsPerS},
          {"algbw", comm.algbw / kBytesPerGb},
          {"busbw", comm.busbw / kBytesPerGb},
          {"cutbw", comm.cutbw ? Json(*comm.cutbw / kBytesPerGb) : Json(nullptr)},
          {"#wrong", comm.wrong}};
}

}  // namespace

std::string summary_text(const RunSummary& summary, const Style& style) {
  std::string text = fmt::format("{}  lockstep {}, begun {}\n", paint(style, Emphasis::strong, summary.path),
                                 summary.lockstep_version, summary.created_utc);
  text += "\nStep time over steady steps, from one step's end on its last rank to the next one's\n" +
          launch_table(summary, style);
  for (const LaunchSummary& launch : summary.launches) {
    if (launch.end && !launch.end->message.empty())
      text += fmt::format("  launch {}: {}\n", launch.planned.leg, launch.end->message);
    if (launch.partial_steps > 0)
      text += fmt::format("  launch {}: {} steps were begun and not completed by every rank\n",
                          launch.planned.leg, launch.partial_steps);
  }
  text +=
      "  exposed: share of the step in which compute stood still for communication, over ranks and steps\n";
  const bool few =
      std::any_of(summary.launches.begin(), summary.launches.end(),
                  [](const LaunchSummary& one) { return one.step_s.count > 0 && !one.step_s.p99; });
  if (few)
    text += fmt::format("  n=...: too few steps for that quantile (p95 takes {}, p99 {})\n",
                        stats::kLeastSamplesForP95, stats::kLeastSamplesForP99);
  if (summary.hosts_of)
    text += fmt::format("\nRanks of launch {}\n", *summary.hosts_of) + host_table(summary, style);
  if (!summary.devices.empty())
    text += "\nDevices, over all readings; errors are those that came during the launches\n" +
            device_table(summary.devices, style);
  if (!summary.comms.empty()) {
    text +=
        "\nCommunication; time is the median over steps, from the last rank's arrival; bandwidths in GB/s "
        "(1e9)\n" +
        comm_table(summary, style);
    text +=
        "  busbw = algbw x 2(n-1)/n for all-reduce, (n-1)/n for reduce-scatter, all-gather and all-to-all "
        "(nccl-tests);\n"
        "  cutbw = bytes over the boundary of a site / time, S 2(m-1)/m for an all-reduce over m sites; "
        "wait: median of the rank that "
        "waited longest\n";
  }
  text += fmt::format("\nStalls: {}\n", summary.worst_stalls.empty() ? "none" : "longest first");
  text += stall_lines(summary.worst_stalls, style);
  text += fmt::format("\nIncidents: {}\n",
                      summary.incidents.empty() ? "none" : std::to_string(summary.incidents.size()));
  text += incident_lines(summary.incidents, style);
  text += fmt::format("\nFailures: {}\n",
                      summary.failures.empty() ? "none" : std::to_string(summary.failures.size()));
  text += failure_lines(summary, style);
  if (const std::string facts = fact_lines(summary, style); !facts.empty())
    text += "\nProvenance\n" + facts;
  return text;
}

std::string summary_json(const RunSummary& summary) {
  Json launches = Json::array();
  for (const LaunchSummary& launch : summary.launches)
    launches.push_back(launch_json(launch));
  Json hosts = Json::array();
  for (const HostSummary& host : summary.hosts) {
    hosts.push_back({{"site", host.site},
                     {"host", host.host},
                     {"ranks", host.ranks},
                     {"complete", host.complete},
                     {"compute", host.compute},
                     {"progress", host.progress},
                     {"least_peak_gflops", host.least_gflops},
                     {"most_peak_gflops", host.most_gflops}});
  }
  Json devices = Json::array();
  for (const DeviceSummary& device : summary.devices)
    devices.push_back(device_json(device));
  Json comms = Json::array();
  for (const CommSummary& comm : summary.comms)
    comms.push_back(comm_json(comm));
  Json stalls = Json::array();
  for (const record::StallRow& stall : summary.worst_stalls)
    stalls.push_back(stall_json(stall));
  Json incidents = Json::array();
  for (const record::IncidentRow& incident : summary.incidents)
    incidents.push_back(incident_json(incident));
  Json failures = Json::array();
  for (const record::FailureRow& row : summary.failures) {
    failures.push_back({{"launch", row.leg},
                        {"rank", row.rank},
                        {"step", row.step},
                        {"op", row.op},
                        {"kind", row.kind},
                        {"message", row.message}});
  }
  Json facts = Json::object();
  for (const FactSummary& fact : summary.facts)
    facts[fact.key] = {{"values", fact.values}, {"distinct", fact.distinct}};
  const Json document = {
      {"run", summary.path},
      {"lockstep_version", summary.lockstep_version},
      {"created_utc", summary.created_utc},
      {"step_time_axis",
       "over steady steps, from one step's end on its last rank to the next one's, on the common clock"},
      {"launches", launches},
      {"hosts_of_launch", summary.hosts_of ? Json(*summary.hosts_of) : Json(nullptr)},
      {"hosts", hosts},
      {"devices", devices},
      {"communication", comms},
      {"worst_stalls", stalls},
      {"incidents", incidents},
      {"failures", failures},
      {"provenance", facts}};
  return document.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace lockstep::report
