#include "harness/report/summary.hpp"

#include <algorithm>
#include <map>
#include <tuple>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include <fmt/format.h>

#include "harness/certify/incidents.hpp"
#include "harness/certify/launches.hpp"
#include "harness/certify/metrics.hpp"
#include "harness/core/error.hpp"
#include "harness/core/units.hpp"
#include "harness/watch/attribution.hpp"
#include "harness/watch/launch_view.hpp"

namespace lockstep::report {
namespace {

constexpr std::size_t kMostStalls = 10;
constexpr std::size_t kMostValues = 4;

class Summarizer {
 public:
  Summarizer(const record::Evidence& evidence, std::optional<std::uint32_t> only_leg)
      : evidence_(evidence), only_leg_(only_leg), launches_(certify::collect_launches(evidence)) {
    for (const certify::Launch& launch : launches_) {
      if (!wanted(launch.leg->leg))
        continue;
      legs_.emplace(launch.leg->leg, launch.leg);
      for (const certify::JudgedStep& step : launch.steps) {
        if (step.steady)
          steady_[launch.leg->leg].insert(step.step);
      }
    }
    if (only_leg && legs_.empty()) {
      throw InputError({.what = fmt::format("there is no launch {} in this run", *only_leg),
                        .why = fmt::format("it has {}", evidence.legs.size()),
                        .suggestion = "leave --leg out to see them all",
                        .file = {}});
    }
  }

  [[nodiscard]] RunSummary run(const std::string& path) {
    RunSummary summary;
    summary.path = path;
    summary.lockstep_version = evidence_.lockstep_version;
    summary.created_utc = evidence_.created_utc;
    for (const certify::Launch& one : launches_) {
      if (wanted(one.leg->leg))
        summary.launches.push_back(launch(one));
    }
    choose_hosts(summary);
    summary.devices = summarize_devices(evidence_, [this](std::uint32_t leg) { return wanted(leg); });
    summary.comms = comms();
    for (const record::StallRow& stall : evidence_.stalls) {
      if (wanted(stall.leg))
        summary.worst_stalls.push_back(stall);
    }
    std::stable_sort(summary.worst_stalls.begin(), summary.worst_stalls.end(),
                     [](const auto& a, const auto& b) { return a.length_ns > b.length_ns; });
    if (summary.worst_stalls.size() > kMostStalls)
      summary.worst_stalls.resize(kMostStalls);
    explain(summary.worst_stalls);
    for (const record::IncidentRow& incident : certify::collect_incidents(evidence_)) {
      if (wanted(incident.leg))
        summary.incidents.push_back(incident);
    }
    for (const record::FailureRow& failure : evidence_.failures) {
      if (wanted(failure.leg))
        summary.failures.push_back(failure);
    }
    summary.facts = facts();
    return summary;
  }

 private:
  [[nodiscard]] bool wanted(std::uint32_t leg) const { return !only_leg_ || *only_leg_ == leg; }

  /// A run file made before causes were recorded tells none: they are worked out from the raw evidence.
  void explain(std::vector<record::StallRow>& stalls) const {
    std::map<std::uint32_t, std::vector<record::StallRow*>> by_launch;
    for (record::StallRow& stall : stalls) {
      if (stall.cause.empty())
        by_launch[stall.leg].push_back(&stall);
    }
    for (auto& [leg, of_launch] : by_launch) {
      if (!legs_.contains(leg))
        continue;
      const watch::LaunchView view = watch::view_of(evidence_, leg);
      const watch::StallAttribution attribution(view);
      for (record::StallRow* stall : of_launch)
        attribution.explain(*stall);
    }
  }

  [[nodiscard]] LaunchSummary launch(const certify::Launch& launch) const {
    const record::LegRow& leg = *launch.leg;
    LaunchSummary summary;
    summary.planned = leg;
    if (launch.end != nullptr)
      summary.end = *launch.end;
    std::int64_t sum_ns = 0;
    std::int64_t sum_exposed_ns = 0;
    for (const certify::JudgedStep& step : launch.steps) {
      if (!step.steady) {
        ++summary.warmup_steps;
        continue;
      }
      for (const record::StepRow* row : step.rows) {
        sum_ns += row->end_ns - row->begin_ns;
        sum_exposed_ns += row->exposed_ns;
      }
    }
    std::unordered_set<std::uint32_t> begun;
    for (const record::StepRow& row : evidence_.steps) {
      if (row.leg == leg.leg)
        begun.insert(row.step);
    }
    summary.partial_steps =
        static_cast<std::uint32_t>(begun.size() - std::min(begun.size(), launch.steps.size()));
    summary.step_s = stats::summarize(launch.steady_times_s());
    if (sum_ns > 0)
      summary.exposed_share = static_cast<double>(sum_exposed_ns) / static_cast<double>(sum_ns);
    const auto of_this = [&leg](const auto& row) { return row.leg == leg.leg; };
    summary.stalls =
        static_cast<std::uint32_t>(std::count_if(evidence_.stalls.begin(), evidence_.stalls.end(), of_this));
    summary.failures = static_cast<std::uint32_t>(
        std::count_if(evidence_.failures.begin(), evidence_.failures.end(), of_this));
    return summary;
  }

  /// The launch with the most ranks stands for all: legs share hosts.
  void choose_hosts(RunSummary& summary) const {
    const record::LegRow* largest = nullptr;
    for (const auto& [index, leg] : legs_) {
      if (largest == nullptr || leg->ranks > largest->ranks)
        largest = leg;
    }
    if (largest == nullptr)
      return;
    summary.hosts_of = largest->leg;
    for (const record::RankRow& rank : evidence_.ranks) {
      if (rank.leg != largest->leg)
        continue;
      auto host = std::find_if(summary.hosts.begin(), summary.hosts.end(), [&rank](const HostSummary& known) {
        return known.host == rank.host && known.site == rank.site && known.compute == rank.compute;
      });
      if (host == summary.hosts.end()) {
        summary.hosts.push_back(
            {rank.site, rank.host, 0, 0, rank.compute, rank.progress, rank.peak_gflops, rank.peak_gflops});
        host = summary.hosts.end() - 1;
      }
      ++host->ranks;
      host->complete += rank.state == "complete" ? 1 : 0;
      host->least_gflops = std::min(host->least_gflops, rank.peak_gflops);
      host->most_gflops = std::max(host->most_gflops, rank.peak_gflops);
    }
  }

  [[nodiscard]] std::vector<CommSummary> comms() const {
    struct OpStep {
      std::int64_t transfer_ns = 0;
      std::int64_t wait_ns = 0;
    };
    // Slowest part and longest wait of each op in each steady step.
    std::map<std::tuple<std::uint32_t, std::uint32_t, std::uint32_t>, OpStep> by_step;  // launch, op, step
    for (const record::CommRow& row : evidence_.comms) {
      if (row.end_ns == 0 || !is_steady(row.leg, row.step))
        continue;
      OpStep& slot = by_step[{row.leg, row.op, row.step}];
      slot.transfer_ns = std::max(slot.transfer_ns, row.end_ns - row.begin_ns - row.wait_ns);
      slot.wait_ns = std::max(slot.wait_ns, row.wait_ns);
    }
    struct Series {
      CommSummary summary;
      std::vector<double> time_s;
      std::vector<double> wait_s;
      std::unordered_set<std::uint32_t> ops;
    };
    using Class = std::tuple<std::string, std::string, std::string, std::uint64_t, std::string>;
    std::map<std::pair<std::uint32_t, std::uint32_t>, Series*> series_of_op;  // launch, op
    std::map<Class, Series> series;
    std::vector<Series*> in_order;
    for (const record::GraphRow& op : evidence_.graph) {
      if (op.stream != "communication" || !legs_.contains(op.leg))
        continue;
      const std::string& leg_name = legs_.at(op.leg)->name;
      const auto [at, made] = series.try_emplace(Class{leg_name, op.kind, op.group, op.bytes, op.dtype});
      if (made) {
        at->second.summary = describe(op, leg_name);
        in_order.push_back(&at->second);
      }
      at->second.ops.insert(op.op);
      series_of_op[{op.leg, op.op}] = &at->second;
    }
    for (const auto& [key, slot] : by_step) {
      const auto at = series_of_op.find({std::get<0>(key), std::get<1>(key)});
      if (at == series_of_op.end())
        continue;
      at->second->time_s.push_back(seconds_from_ns(slot.transfer_ns));
      at->second->wait_s.push_back(seconds_from_ns(slot.wait_ns));
    }
    for (const record::FailureRow& failure : evidence_.failures) {
      if (failure.kind != "wrong_value" || failure.op < 0)
        continue;
      const auto at = series_of_op.find({failure.leg, static_cast<std::uint32_t>(failure.op)});
      if (at != series_of_op.end())
        ++at->second->summary.wrong;
    }
    std::vector<CommSummary> summaries;
    for (Series* one : in_order) {
      CommSummary& summary = one->summary;
      summary.ops = static_cast<std::uint32_t>(one->ops.size());
      summary.time_s = stats::summarize(one->time_s);
      summary.wait_p50_s = one->wait_s.empty() ? 0.0 : stats::quantile(one->wait_s, 0.5);
      if (summary.time_s.p50 > 0.0) {
        const auto size = static_cast<double>(summary.size_bytes);
        summary.algbw = size / summary.time_s.p50;
        summary.busbw = summary.algbw * certify::busbw_factor(summary.kind, summary.ranks);
        if (summary.sites > 1)
          summary.cutbw = certify::cut_bytes(summary.kind, size, summary.sites) / summary.time_s.p50;
      }
      summaries.push_back(std::move(summary));
    }
    return summaries;
  }

  [[nodiscard]] CommSummary describe(const record::GraphRow& op, const std::string& leg_name) const {
    CommSummary summary;
    summary.leg = leg_name;
    summary.kind = op.kind;
    summary.group = op.group;
    summary.ranks = op.group_ranks;
    if (op.spans_sites != 0) {
      const std::string& sites = legs_.at(op.leg)->sites;
      summary.sites = static_cast<std::uint32_t>(std::count(sites.begin(), sites.end(), ',')) + 1;
    }
    summary.size_bytes = op.bytes;
    const std::uint64_t element_bytes = op.dtype == "f64" ? 8 : op.dtype == "f32" ? 4 : 2;
    summary.count = op.bytes / element_bytes;
    summary.type = op.dtype;
    summary.redop = op.kind == "all_reduce" || op.kind == "reduce_scatter" ? "sum" : "none";
    return summary;
  }

  [[nodiscard]] bool is_steady(std::uint32_t leg, std::uint32_t step) const {
    const auto steps = steady_.find(leg);
    return steps != steady_.end() && steps->second.contains(step);
  }

  [[nodiscard]] std::vector<FactSummary> facts() const {
    std::vector<FactSummary> facts;
    std::unordered_map<std::string, std::size_t> index;
    std::unordered_map<std::string, std::unordered_set<std::string>> seen;
    for (const record::ProvenanceRow& row : evidence_.provenance) {
      const bool of_wanted = row.leg < 0 || wanted(static_cast<std::uint32_t>(row.leg));
      if (!of_wanted || !seen[row.key].insert(row.value).second)
        continue;
      const auto [at, made] = index.try_emplace(row.key, facts.size());
      if (made)
        facts.push_back({row.key, {}, 0});
      FactSummary& fact = facts[at->second];
      ++fact.distinct;
      if (fact.values.size() < kMostValues)
        fact.values.push_back(row.value);
    }
    return facts;
  }

  const record::Evidence& evidence_;
  std::optional<std::uint32_t> only_leg_;
  std::map<std::uint32_t, const record::LegRow*> legs_;
  std::vector<certify::Launch> launches_;
  std::unordered_map<std::uint32_t, std::unordered_set<std::uint32_t>> steady_;  // steps, by launch
};

}  // namespace

RunSummary summarize_run(const record::Evidence& evidence, const std::string& path,
                         std::optional<std::uint32_t> only_leg) {
  return Summarizer(evidence, only_leg).run(path);
}

}  // namespace lockstep::report
