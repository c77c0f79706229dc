#include "harness/certify/metrics.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include <fmt/format.h>

#include "harness/certify/communication.hpp"
#include "harness/certify/launches.hpp"
#include "harness/certify/stall_causes.hpp"
#include "harness/certify/time_account.hpp"
#include "harness/stats/stall.hpp"
#include "harness/step/stamps.hpp"

namespace lockstep::certify {
namespace {

constexpr std::size_t kTailReplicates = 400;
constexpr std::uint64_t kTailSeed = 0x7a11;

std::size_t count_stalls(const std::vector<double>& times_s) {
  const stats::StallThreshold threshold = stats::StallRule{}.threshold(times_s);
  return static_cast<std::size_t>(
      std::count_if(times_s.begin(), times_s.end(), [&](double time) { return threshold.is_stall(time); }));
}

/// Tokens of one rank in one step, mean over the ranks of the leg's launches.
double tokens_per_step(const std::vector<Round>& rounds) {
  double sum = 0.0;
  std::size_t ranks = 0;
  for (const Round& round : rounds) {
    for (const Launch* launch : round.attempts) {
      for (const record::RankRow* rank : launch->ranks) {
        if (rank->state == "missing")
          continue;
        sum += rank->tokens_per_step;
        ++ranks;
      }
    }
  }
  return ranks > 0 ? sum / static_cast<double>(ranks) : 0.0;
}

void add_shares(LegMetrics& leg, const std::vector<Round>& rounds) {
  double total_s = 0.0;
  std::size_t steps = 0;
  double compute_s = 0.0;
  double exposed_s = 0.0;
  double waiting_s = 0.0;
  for (const Round& round : rounds) {
    for (const Launch* launch : round.attempts) {
      for (const JudgedStep& step : launch->steps) {
        if (!step.steady)
          continue;
        const auto worst_s = [&](std::int64_t record::StepRow::*part) {
          std::int64_t worst_ns = 0;
          for (const record::StepRow* row : step.rows)
            worst_ns = std::max(worst_ns, row->*part);
          return static_cast<double>(worst_ns) / 1e9;
        };
        compute_s += worst_s(&record::StepRow::compute_ns);
        exposed_s += worst_s(&record::StepRow::exposed_ns);
        waiting_s += worst_s(&record::StepRow::wait_ns);
        total_s += step.time_s();
        ++steps;
      }
    }
  }
  if (steps == 0 || total_s <= 0.0)
    return;
  leg.compute_share = compute_s / total_s;
  leg.exposed_share = exposed_s / total_s;
  leg.waiting_share = waiting_s / total_s;
  leg.compute_s = compute_s / static_cast<double>(steps);
}

LegMetrics figure_leg(const plan::Leg& planned, const std::vector<Round>& rounds) {
  LegMetrics leg;
  leg.name = planned.name;
  leg.kind = planned.kind;
  leg.tokens_per_step = tokens_per_step(rounds);
  std::vector<double> all;
  for (const Round& round : rounds) {
    leg.ranks = round.attempts.front()->leg->ranks;
    const std::vector<double> times_s = round.steady_times_s();
    all.insert(all.end(), times_s.begin(), times_s.end());
    RoundMetrics& metrics = leg.rounds.emplace_back();
    metrics.round = round.round;
    metrics.figures.time_s = stats::summarize(times_s);
    metrics.figures.stalls = count_stalls(times_s);
    metrics.figures.tokens_per_s_per_rank =
        stats::throughput({.work_per_step = leg.tokens_per_step, .rounds = {times_s}});
    leg.figures.stalls += metrics.figures.stalls;
  }
  leg.figures.time_s = stats::summarize(all);
  leg.figures.tokens_per_s_per_rank =
      stats::throughput({.work_per_step = leg.tokens_per_step, .rounds = {all}});
  add_shares(leg, rounds);
  return leg;
}

stats::LegTimes leg_times(const LegMetrics& leg, const std::vector<Round>& rounds, std::size_t count) {
  stats::LegTimes times;
  times.work_per_step = leg.tokens_per_step;
  times.rounds.resize(count);
  for (const Round& round : rounds)
    if (round.round < count)
      times.rounds[round.round] = round.steady_times_s();
  return times;
}

void add_tail(Metrics& metrics, const std::vector<Round>& joint, double confidence) {
  const LegMetrics* leg = metrics.joint();
  if (!leg->figures.time_s.p99 || leg->figures.time_s.p50 <= 0.0)
    return;
  metrics.tail_ratio = *leg->figures.time_s.p99 / leg->figures.time_s.p50;
  std::vector<std::vector<double>> launches;
  launches.reserve(joint.size());
  for (const Round& round : joint)
    launches.push_back(round.steady_times_s());
  const auto ratio = [](std::span<const double> times) {
    std::vector<double> sorted(times.begin(), times.end());
    std::sort(sorted.begin(), sorted.end());
    return stats::quantile_of_sorted(sorted, 0.99) / stats::quantile_of_sorted(sorted, 0.5);
  };
  metrics.tail_interval = stats::bootstrap_interval(launches, ratio, confidence, kTailReplicates, kTailSeed);
}

void add_contributions(Metrics& metrics, const plan::Plan& plan, const plan::Leg& joint) {
  const auto total_of = [](const LegMetrics* leg) {
    return leg == nullptr ? 0.0 : leg->figures.tokens_per_s_per_rank * leg->ranks;
  };
  const auto alone = [&](SiteId site) -> const LegMetrics* {
    for (const plan::Leg& leg : plan.legs)
      if (leg.kind == plan::LegKind::baseline && leg.sites == std::vector<SiteId>{site})
        return metrics.leg(leg.name);
    return nullptr;
  };
  double sum = 0.0;
  for (const SiteId site : joint.sites) {
    const double own = total_of(alone(site));
    if (own <= 0.0)
      return;
    sum += own;
  }
  const double together = total_of(metrics.joint());
  if (together <= 0.0)
    return;
  for (const SiteId site : joint.sites) {
    const double own = total_of(alone(site));
    metrics.contributions.push_back({plan.sites[site.value()].name, (together - (sum - own)) / own});
  }
}

/// Productive time of one round; adds to its wall time. See criteria.cpp for the definition in words.
double productive_s(const Round& round, double& wall_s) {
  const stats::StallThreshold threshold = stats::StallRule{}.threshold(round.steady_times_s());
  std::map<std::uint32_t, double> by_step;  // a step that was repeated after a failure counts once
  for (const Launch* launch : round.attempts)
    for (const JudgedStep& step : launch->steps)
      if (step.steady)
        by_step[launch->leg->first_step + step.step] =
            threshold.is_stall(step.time_s()) ? threshold.median : step.time_s();
  double productive = 0.0;
  for (const auto& [step, time_s] : by_step)
    productive += time_s;

  const Launch& first = *round.attempts.front();
  const Launch& last = *round.attempts.back();
  if (round.attempts.size() > 1) {
    // Clocks of two launches need not be related; the controller saw both.
    const std::int64_t end_ns = last.end != nullptr ? last.end->ended_utc_ns : last.leg->launched_utc_ns;
    wall_s += static_cast<double>(end_ns - first.leg->launched_utc_ns) / 1e9;
    return productive;
  }
  const auto begin = std::find_if(first.steps.begin(), first.steps.end(),
                                  [](const JudgedStep& step) { return step.steady; });
  if (begin != first.steps.end())
    wall_s += static_cast<double>(first.steps.back().end_ns - begin->begin_ns) / 1e9;
  return productive;
}

void add_effective_time(Metrics& metrics, const std::vector<Round>& joint) {
  double productive = 0.0;
  for (const Round& round : joint)
    productive += productive_s(round, metrics.effective_wall_s);
  if (metrics.effective_wall_s > 0.0)
    metrics.effective_time = productive / metrics.effective_wall_s;
}

void add_clock_bound(Metrics& metrics, const std::vector<std::vector<Round>>& rounds) {
  for (std::size_t i = 0; i < rounds.size(); ++i) {
    const double median_s = metrics.legs[i].figures.time_s.p50;
    if (median_s <= 0.0)
      continue;
    for (const Round& round : rounds[i])
      for (const Launch* launch : round.attempts) {
        const double bound = static_cast<double>(launch->clock_bound_ns) / 1e9 / median_s;
        metrics.clock_bound = std::max(metrics.clock_bound.value_or(0.0), bound);
      }
  }
}

void add_wrong(DataCheck& data, std::size_t& count, const std::string& words) {
  ++count;
  if (data.first.empty())
    data.first = words;
}

void add_data_check(Metrics& metrics, const record::Evidence& evidence, const plan::Plan& plan,
                    const std::vector<Launch>& launches, const std::vector<Round>& joint) {
  DataCheck& data = metrics.data;
  // Launch, rank and step of wrong products.
  std::set<std::tuple<std::int64_t, std::int64_t, std::int64_t>> told;
  for (const record::FailureRow& row : evidence.failures) {
    if (row.kind == "wrong_value")
      add_wrong(data, data.wrong_values,
                fmt::format("launch {}, rank {}, step {}, op {}, element {}: {:.9g} instead of {:.9g}",
                            row.leg, row.rank, row.step, row.op, row.offset, row.observed, row.expected));
    else if (row.kind == "checksum_mismatch")
      add_wrong(data, data.checksum_mismatches,
                fmt::format("launch {}, rank {}, step {}: {}", row.leg, row.rank, row.step, row.message));
    else if (row.kind == "checksum") {
      add_wrong(data, data.wrong_results,
                fmt::format("launch {}, rank {}, step {}: {}", row.leg, row.rank, row.step, row.message));
      told.emplace(row.leg, row.rank, row.step);
    }
  }
  for (const record::StepRow& row : evidence.steps) {
    if ((row.flags & step::kStepCorrupt) == 0)
      continue;
    // Products and reduced data are never checked in the same step (step::is_product_checked_step).
    const bool of_products = (row.flags & step::kStepValidated) == 0;
    if (of_products && told.contains({row.leg, row.rank, row.step}))
      continue;
    add_wrong(data, of_products ? data.wrong_results : data.wrong_values,
              fmt::format("launch {}, rank {}, step {} is flagged corrupt", row.leg, row.rank, row.step));
  }
  // Without tensor parallelism every rank holds the same reduced gradients.
  if (plan.workload.tensor_parallel == 1) {
    for (const Launch& launch : launches)
      for (const JudgedStep& step : launch.steps) {
        std::set<std::uint64_t> values;
        for (const record::StepRow* row : step.rows)
          if ((row->flags & step::kStepValidated) != 0)
            values.insert(row->checksum);
        if (values.size() > 1)
          add_wrong(
              data, data.checksum_mismatches,
              fmt::format("launch {}, step {}: the ranks' checksums differ", launch.leg->leg, step.step));
      }
  }
  std::size_t least = SIZE_MAX;
  for (const Round& round : joint) {
    std::vector<std::size_t> checked(round.attempts.back()->leg->ranks, 0);
    for (const Launch* launch : round.attempts)
      for (const JudgedStep& step : launch->steps)
        for (const record::StepRow* row : step.rows)
          if ((row->flags & step::kStepValidated) != 0 && row->rank < checked.size())
            ++checked[row->rank];
    for (const std::size_t count : checked)
      least = std::min(least, count);
  }
  data.least_checked_steps = least == SIZE_MAX ? 0 : least;
}

void add_joint(Metrics& metrics, const record::Evidence& evidence, const plan::Plan& plan,
               const plan::Leg& joint, const std::vector<std::vector<Round>>& rounds,
               const std::vector<Round>& joint_rounds) {
  const LegMetrics* leg = metrics.joint();
  std::size_t count = plan.run.rounds;
  for (const Round& round : joint_rounds)
    count = std::max(count, std::min<std::size_t>(round.round + std::size_t{1}, 10'000));
  std::vector<stats::LegTimes> baselines;
  std::vector<std::string> names;
  for (std::size_t i = 0; i < plan.legs.size(); ++i) {
    if (plan.legs[i].kind != plan::LegKind::baseline || metrics.legs[i].figures.time_s.count == 0)
      continue;
    baselines.push_back(leg_times(metrics.legs[i], rounds[i], count));
    names.push_back(plan.legs[i].name);
  }
  if (leg->figures.time_s.count > 0 && !baselines.empty()) {
    metrics.eta = stats::ratio_to_best(leg_times(*leg, joint_rounds, count), baselines,
                                       {.confidence = plan.criteria.confidence});
    metrics.eta_best = names[metrics.eta->best];
  }
  add_tail(metrics, joint_rounds, plan.criteria.confidence);
  add_contributions(metrics, plan, joint);
  add_effective_time(metrics, joint_rounds);
  for (const Round& round : joint_rounds)
    metrics.joint_time += account_time(round, evidence);
  metrics.comms = figure_comms(joint_rounds, joint.sites.size());
  metrics.wan = figure_wan(joint_rounds, joint.sites.size());
  metrics.stalls = figure_stalls(evidence, joint_rounds);
  const double mean_s = leg->figures.time_s.mean;
  if (!metrics.wan || mean_s <= 0.0)
    return;
  metrics.exposed_wan = metrics.wan->exposed_s / mean_s;
  const double inner_s = plan.criteria.low_communication_inner_steps * leg->compute_s;
  if (metrics.wan->transfer_s > 0.0 && inner_s > 0.0)
    metrics.low_communication = inner_s / (inner_s + metrics.wan->transfer_s);
}

}  // namespace

const LegMetrics* Metrics::joint() const {
  const auto found = std::find_if(legs.begin(), legs.end(),
                                  [](const LegMetrics& leg) { return leg.kind == plan::LegKind::joint; });
  return found == legs.end() ? nullptr : &*found;
}

const LegMetrics* Metrics::leg(const std::string& name) const {
  const auto found =
      std::find_if(legs.begin(), legs.end(), [&](const LegMetrics& leg) { return leg.name == name; });
  return found == legs.end() ? nullptr : &*found;
}

Metrics compute_metrics(const record::Evidence& evidence, const plan::Plan& plan) {
  Metrics metrics;
  const std::vector<Launch> launches = collect_launches(evidence);
  std::vector<std::vector<Round>> rounds;
  for (const plan::Leg& leg : plan.legs) {
    rounds.push_back(rounds_of(launches, leg.name));
    metrics.legs.push_back(figure_leg(leg, rounds.back()));
  }
  add_clock_bound(metrics, rounds);
  std::vector<Round> joint_rounds;
  for (std::size_t i = 0; i < plan.legs.size(); ++i) {
    if (plan.legs[i].kind != plan::LegKind::joint)
      continue;
    joint_rounds = rounds[i];
    add_joint(metrics, evidence, plan, plan.legs[i], rounds, joint_rounds);
    break;  // a plan has one joint leg
  }
  add_data_check(metrics, evidence, plan, launches, joint_rounds);
  metrics.devices = figure_devices(evidence, plan, launches);
  return metrics;
}

}  // namespace lockstep::certify
