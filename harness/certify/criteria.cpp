#include "harness/certify/criteria.hpp"

#include <fmt/format.h>

#include "harness/core/units.hpp"

namespace lockstep::certify {
namespace {

Status compare(const std::optional<double>& value, double threshold, Bound bound) {
  if (!value)
    return Status::unknown;
  const bool good = bound == Bound::at_least ? *value >= threshold : *value <= threshold;
  return good ? Status::pass : Status::fail;
}

Criterion judge_eta(const Metrics& metrics, const plan::Criteria& criteria) {
  Criterion eta;
  eta.name = "eta";
  eta.title = "coherence: throughput per rank, joint / best site alone";
  eta.threshold = criteria.eta_a;
  eta.unit = "1";
  eta.axis =
      "all steady steps of all rounds, total tokens / total time; judged by the lower end of the interval";
  std::string rounds = "no round that every leg has";
  if (metrics.eta && metrics.eta->rounds > 0) {
    eta.value = metrics.eta->value;
    eta.interval = stats::Interval{metrics.eta->low, metrics.eta->high};
    eta.status = compare(metrics.eta->low, eta.threshold, eta.bound);
    rounds = metrics.eta->rounds == 1
                 ? "one round: only the scatter of steps within a launch is covered, not that from launch to "
                   "launch"
                 : fmt::format("{} rounds, paired, so that a slow drift of the machine cancels",
                               metrics.eta->rounds);
  }
  eta.method = fmt::format(
      "{} interval; moving-block bootstrap within launches and scatter between launches, Student's t; lower "
      "end: "
      "the least over all sites, so that choosing the best site does not lift it; {}",
      format_percent(criteria.confidence, 0), rounds);
  return eta;
}

Criterion judge_tail(const Metrics& metrics, const plan::Criteria& criteria) {
  Criterion tail;
  tail.name = "tail_ratio";
  tail.title = "p99 / p50 of the joint step time";
  tail.value = metrics.tail_ratio;
  tail.interval = metrics.tail_interval;
  tail.threshold = criteria.tail_ratio_max;
  tail.bound = Bound::at_most;
  tail.status = compare(tail.value, tail.threshold, tail.bound);
  tail.unit = "1";
  tail.axis = "over steady steps of the joint leg, all rounds; a step lasts until its last rank is done";
  tail.method = fmt::format(
      "linear interpolation between order statistics; needs {} steps; the interval covers the "
      "scatter within launches only and is not judged",
      stats::kLeastSamplesForP99);
  return tail;
}

Criterion judge_exposed_wan(const Metrics& metrics, const plan::Criteria& criteria) {
  Criterion wan;
  wan.name = "exposed_wan";
  wan.title = "exposed WAN time / step time";
  wan.value = metrics.exposed_wan;
  wan.threshold = criteria.exposed_wan_max;
  wan.bound = Bound::at_most;
  wan.status = compare(wan.value, wan.threshold, wan.bound);
  wan.unit = "1";
  wan.axis = "sum over steady steps of the joint leg, worst rank";
  wan.method =
      "time that the compute stream stood still for operations between sites, less the part in which they "
      "waited for the last rank to arrive";
  return wan;
}

Criterion judge_contribution(const std::string& site, std::optional<double> value, const plan::Plan& plan) {
  Criterion contribution;
  contribution.name = "site_contribution." + site;
  contribution.title = fmt::format("what site {} adds / what it does alone", site);
  contribution.value = value;
  contribution.threshold = plan.criteria.site_contribution_min;
  contribution.status = compare(value, contribution.threshold, contribution.bound);
  contribution.unit = "1";
  contribution.axis = "tokens/s of all ranks, all steady steps of all rounds";
  contribution.method =
      plan.sites.size() == 2
          ? "(joint - the other site alone) / this site alone"
          : "(joint - sum of the other sites alone) / this site alone: a lower bound, because the "
            "other sites together were not measured without this one";
  return contribution;
}

Criterion judge_effective_time(const Metrics& metrics, const plan::Criteria& criteria) {
  Criterion time;
  time.name = "effective_time";
  time.title = "effective-training-time ratio of the joint leg";
  time.value = metrics.effective_time;
  time.threshold = criteria.effective_time_min;
  time.status = compare(time.value, time.threshold, time.bound);
  time.unit = "1";
  time.axis = "sum over rounds";
  time.method =
      "steady step time, every stall replaced by the median and every step counted once / wall time from "
      "the first steady step's begin to the last step's end; with several attempts from the first launch "
      "to the last end, start-up included";
  return time;
}

Criterion judge_data(const Metrics& metrics) {
  Criterion data;
  data.name = "data";
  data.title = "wrong values in reduced data";
  data.threshold = 0.0;
  data.bound = Bound::at_most;
  const std::size_t wrong = metrics.data.wrong();
  // Wrong data found is an answer even where too little was checked for a pass.
  if (wrong > 0 || metrics.data.least_checked_steps > 0)
    data.value = static_cast<double>(wrong);
  data.status = compare(data.value, data.threshold, data.bound);
  data.unit = "count";
  data.axis = "over all ranks and checked steps of all legs";
  data.method = fmt::format(
      "known pattern in sampled elements and checksums compared between ranks, and checksums of computed "
      "results where the backend makes them; every rank of the joint leg checked at least {} steps of each "
      "launch",
      metrics.data.least_checked_steps);
  return data;
}

/// Absent where no launch lasts long enough for a trend: there is nothing to judge.
std::optional<Criterion> judge_rate_drift(const Metrics& metrics, const plan::Criteria& criteria) {
  if (metrics.devices.drifts.empty())
    return std::nullopt;
  const RateDrift& worst = metrics.devices.drifts.front();
  Criterion drift;
  drift.name = "rate_drift";
  drift.title = "loss of a rank's compute rate over a launch";
  drift.value = worst.loss;
  drift.interval = worst.interval;
  drift.threshold = criteria.rate_drift_max;
  drift.bound = Bound::at_most;
  drift.status = compare(worst.interval.low, drift.threshold, drift.bound);
  drift.unit = "1";
  drift.axis = fmt::format(
      "steady steps of one rank in one launch; of {} such series the one whose loss is surest: {}, leg {}, "
      "round {}; judged by the lower end of the interval",
      metrics.devices.drift_series, in_words(worst.place), worst.leg, worst.round + 1);
  drift.method = fmt::format(
      "1 - rate at the last step / rate at the first on the Theil-Sen line through compute time over time; "
      "interval by Kendall's tau at {} confidence for all series together (Bonferroni)",
      format_percent(criteria.confidence, 0));
  return drift;
}

Criterion judge_low_communication(const Metrics& metrics, const plan::Criteria& criteria) {
  Criterion low;
  low.name = "low_communication";
  low.title = "projected compute share of a low-communication scheme";
  low.for_grade_a = false;
  low.value = metrics.low_communication;
  low.threshold = criteria.low_communication_min;
  low.status = compare(low.value, low.threshold, low.bound);
  low.unit = "1";
  low.axis = "mean over steady steps of the joint leg, worst rank";
  low.method = fmt::format(
      "H*T/(H*T + T_sync), H = {} inner steps, T = compute part of a step, T_sync = its transfers "
      "between sites one after the other; a projection, not a measurement",
      criteria.low_communication_inner_steps);
  return low;
}

}  // namespace

const char* to_string(Status status) {
  switch (status) {
    case Status::pass:
      return "pass";
    case Status::fail:
      return "fail";
    case Status::unknown:
      return "unknown";
  }
  return "unknown";
}

const char* to_string(Bound bound) {
  return bound == Bound::at_least ? ">=" : "<=";
}

std::vector<Criterion> judge(const Metrics& metrics, const plan::Plan& plan) {
  std::vector<Criterion> criteria;
  criteria.push_back(judge_eta(metrics, plan.criteria));
  criteria.push_back(judge_tail(metrics, plan.criteria));
  criteria.push_back(judge_exposed_wan(metrics, plan.criteria));
  for (const plan::Site& site : plan.sites) {
    std::optional<double> value;
    for (const SiteContribution& contribution : metrics.contributions)
      if (contribution.site == site.name)
        value = contribution.value;
    criteria.push_back(judge_contribution(site.name, value, plan));
  }
  criteria.push_back(judge_effective_time(metrics, plan.criteria));
  criteria.push_back(judge_data(metrics));
  if (auto drift = judge_rate_drift(metrics, plan.criteria))
    criteria.push_back(std::move(*drift));
  criteria.push_back(judge_low_communication(metrics, plan.criteria));
  return criteria;
}

}  // namespace lockstep::certify
