#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "harness/certify/grade.hpp"
#include "harness/certify/stall_causes.hpp"
#include "harness/core/text.hpp"
#include "harness/core/units.hpp"

namespace lockstep::certify {
namespace {

using plan::Grade;
using Advice = std::vector<std::string>;

/// From this share on a cause is named first.
constexpr double kMostOfIt = 0.5;

/// How the WAN's exposed time can fall by `saved_s` a step.
std::string advise_wan(const WanFigures& wan, double saved_s) {
  if (wan.transfer_s <= saved_s)
    return "no bandwidth between the sites would be enough; reduce fewer bytes or overlap more";
  const double now = wan.cut_bytes / wan.transfer_s;
  const double needed = wan.cut_bytes / (wan.transfer_s - saved_s);
  return fmt::format(
      "raise the bandwidth between the sites from {} to {} (per site, as the transfers saw it; if they "
      "are bound by latency, which this evidence does not tell, send in larger or fewer pieces), or "
      "hide {} more of the transfers behind compute",
      format_rate(now), format_rate(needed), format_seconds(saved_s));
}

/// `, A - B (3) and B - C (1)`: where stalls between sites were; empty when no link is known.
std::string links_of(const JointStalls& stalls) {
  std::vector<std::string> links;
  for (const StallCause& cause : stalls.causes) {
    if (cause.cause == "slow_wan" && !cause.culprit.empty())
      links.push_back(fmt::format("{} ({})", cause.culprit, cause.steps));
  }
  return links.empty() ? std::string{} : " " + join(links, " and ");
}

/// What cost most of all that lies inside the sites and has a name; nullptr when nothing does.
const StallCause* costliest_here(const JointStalls& stalls) {
  const auto found = std::find_if(stalls.causes.begin(), stalls.causes.end(), [](const StallCause& cause) {
    return cause.cause != "slow_wan" && cause.cause != "unknown" && !cause.culprit.empty();
  });
  return found == stalls.causes.end() ? nullptr : &*found;
}

const char* remedy(const StallCause& cause) {
  if (cause.cause == "slow_compute")
    return "look there for other users of the machine, for heat and power limits, and for memory errors, or "
           "take it out";
  if (cause.cause == "slow_host")
    return "look there for other users, for interrupts and daemons, and at the disk that it writes to, or "
           "take "
           "it out";
  if (cause.cause == "slow_lan")
    return "look at the counters of that site's switch ports and network cards";
  return "its transport thread did not run: give it a core of its own, or look for other users of the "
         "machine";
}

/// Where the joint step loses time against the best baseline.
void advise_on_time(Advice& advice, const Metrics& metrics, double needed, const char* aim) {
  const LegMetrics& joint = *metrics.joint();
  const double step_s = joint.figures.time_s.mean;
  const double saved_s = step_s * (1.0 - metrics.eta->low / needed);
  const std::string wish = fmt::format("{}: the joint step has to become {} shorter on average (of {})", aim,
                                       format_seconds(saved_s), format_seconds(step_s));
  if (metrics.stalls.between_sites_cost_s >= kMostOfIt * saved_s) {
    advice.push_back(fmt::format(
        "{}; {} of it are {} stalls in transfers between sites{}: find and mend what loses packets "
        "or interrupts a link there (counters of the ports, optical power, protection "
        "switching); more bandwidth does not help against it",
        wish, format_seconds(metrics.stalls.between_sites_cost_s), metrics.stalls.between_sites,
        links_of(metrics.stalls)));
    const double rest_s = saved_s - metrics.stalls.between_sites_cost_s;
    if (rest_s <= 0.0 || !metrics.wan)
      return;
    advice.push_back(fmt::format(
        "without these stalls {} of exposed WAN time would be left: {}",
        format_seconds(std::max(0.0, metrics.wan->exposed_s - metrics.stalls.between_sites_cost_s)),
        advise_wan(*metrics.wan, rest_s)));
    return;
  }
  if (const StallCause* cause = costliest_here(metrics.stalls);
      cause != nullptr && cause->cost_s >= kMostOfIt * saved_s) {
    advice.push_back(fmt::format("{}; {} of it are {} stalls {}: {}", wish, format_seconds(cause->cost_s),
                                 cause->steps, in_words(*cause), remedy(*cause)));
    return;
  }
  if (metrics.wan && metrics.wan->exposed_s >= saved_s) {
    advice.push_back(fmt::format("{}; {} of it are exposed WAN time: {}", wish,
                                 format_seconds(metrics.wan->exposed_s), advise_wan(*metrics.wan, saved_s)));
    return;
  }
  const LegMetrics* best = metrics.leg(metrics.eta_best);
  std::string parts;
  if (metrics.wan)
    parts += fmt::format("exposed WAN time is {} of it", format_seconds(metrics.wan->exposed_s));
  if (best != nullptr && joint.compute_s > best->compute_s)
    parts += fmt::format("{}compute takes {} longer than in leg {}", parts.empty() ? "" : ", ",
                         format_seconds(joint.compute_s - best->compute_s), best->name);
  parts += fmt::format("{}waiting for the last rank is up to {} of the step", parts.empty() ? "" : ", ",
                       format_percent(joint.waiting_share));
  advice.push_back(
      fmt::format("{}; the WAN alone does not explain it: {}; look for a slow rank or for other users of "
                  "the machines",
                  wish, parts));
}

void advise_on_eta(Advice& advice, const Metrics& metrics, double needed, Grade aim) {
  const stats::ThroughputRatio& eta = *metrics.eta;
  if (eta.low >= needed)
    return;
  const std::string grade = fmt::format("for grade {}", plan::to_string(aim));
  if (eta.value > needed) {
    const double shrink = (eta.value - eta.low) / (eta.value - needed);
    if (eta.standard_error > 1.2 * eta.within_error || eta.rounds < 3) {
      advice.push_back(
          fmt::format("{}: eta itself is high enough, its interval is too wide because launches differ or "
                      "are few: more rounds (now {}; the interval has to be {:.2g} times narrower)",
                      grade, eta.rounds, shrink));
    } else {
      advice.push_back(
          fmt::format("{}: eta itself is high enough, its interval is too wide: about {:.2g} times as many "
                      "steps",
                      grade, std::ceil(10.0 * shrink * shrink) / 10.0));
    }
    return;
  }
  advise_on_time(advice, metrics, needed, grade.c_str());
}

void advise_on_tail(Advice& advice, const Findings& findings) {
  const LegMetrics& joint = *findings.metrics.joint();
  const double aim_s = joint.figures.time_s.p50 * findings.plan.criteria.tail_ratio_max;
  advice.push_back(fmt::format(
      "the slowest hundredth of the joint leg's steps (p99 {}) has to stay below {}; {} of {} "
      "steps are stalls, the slowest took {}",
      format_seconds(joint.figures.time_s.p99.value_or(0.0)), format_seconds(aim_s), joint.figures.stalls,
      joint.figures.time_s.count, format_seconds(joint.figures.time_s.max)));
}

void advise_on_failed(Advice& advice, const Findings& findings, const Criterion& criterion) {
  const Metrics& metrics = findings.metrics;
  if (criterion.name == "tail_ratio") {
    advise_on_tail(advice, findings);
  } else if (criterion.name == "exposed_wan" && metrics.wan) {
    const double saved_s = metrics.wan->exposed_s -
                           findings.plan.criteria.exposed_wan_max * metrics.joint()->figures.time_s.mean;
    advice.push_back(fmt::format(
        "exposed WAN time is {} of the step, at most {} is allowed (worst rank {}): {}",
        format_percent(*metrics.exposed_wan), format_percent(findings.plan.criteria.exposed_wan_max),
        metrics.wan->worst_rank, advise_wan(*metrics.wan, saved_s)));
  } else if (criterion.name.rfind("site_contribution.", 0) == 0) {
    advice.push_back(fmt::format("{}: all ranks together have to train {:.3g} % more tokens/s",
                                 criterion.title,
                                 100.0 * (criterion.threshold - criterion.value.value_or(0.0)) /
                                     (1.0 + std::max(0.0, criterion.value.value_or(0.0)))));
  } else if (criterion.name == "effective_time") {
    const double lost_s = metrics.effective_wall_s * (1.0 - criterion.value.value_or(0.0));
    advice.push_back(fmt::format("stalls and restarts cost {} of {} in the joint leg; at most {} may be lost",
                                 format_seconds(lost_s), format_seconds(metrics.effective_wall_s),
                                 format_seconds(metrics.effective_wall_s * (1.0 - criterion.threshold))));
  }
}

/// A device that slows the job, or is about to.
void advise_on_devices(Advice& advice, const Findings& findings) {
  const DeviceHealth& health = findings.metrics.devices;
  const auto drifted = std::find_if(
      findings.criteria.begin(), findings.criteria.end(),
      [](const Criterion& one) { return one.name == "rate_drift" && one.status == Status::fail; });
  if (drifted != findings.criteria.end()) {
    const RateDrift& worst = health.drifts.front();
    advice.push_back(
        fmt::format("{} lost {} of its compute rate within a launch (leg {}, round {}; throttled in {} of {} "
                    "steps): look at "
                    "its cooling, its power limits and its fans, or take it out",
                    in_words(worst.place), format_percent(worst.loss), worst.leg, worst.round + 1,
                    worst.throttled_steps, worst.steps));
  }
  if (health.slow &&
      (drifted == findings.criteria.end() || health.slow->place.rank != health.drifts.front().place.rank))
    advice.push_back(
        fmt::format("all ranks wait for {}, which computes {} longer than the median rank: compare its "
                    "clocks, temperature and power limit with its neighbours', or take it out",
                    in_words(health.slow->place), format_percent(health.slow->ratio - 1.0)));
}

void advise_below_c(Advice& advice, const Findings& findings) {
  const plan::Criteria& criteria = findings.plan.criteria;
  const Metrics& metrics = findings.metrics;
  const double least = criteria.low_communication_min;
  const double sync_s = metrics.wan->transfer_s;
  const double compute_s = metrics.joint()->compute_s;
  // H*T/(H*T + S) >= u holds from S <= H*T*(1-u)/u on.
  const double allowed_s = criteria.low_communication_inner_steps * compute_s * (1.0 - least) / least;
  advice.push_back(fmt::format(
      "for grade C: one synchronisation may take {} and takes {}: raise the bandwidth between "
      "the sites from {} to {}, or synchronise every {:.0f} steps instead of every {}",
      format_seconds(allowed_s), format_seconds(sync_s), format_rate(metrics.wan->cut_bytes / sync_s),
      format_rate(metrics.wan->cut_bytes / allowed_s),
      std::ceil(sync_s * least / ((1.0 - least) * compute_s)), criteria.low_communication_inner_steps));
}

}  // namespace

std::vector<std::string> advise(const Findings& findings, plan::Grade grade) {
  Advice advice;
  const Metrics& metrics = findings.metrics;
  const plan::Criteria& criteria = findings.plan.criteria;
  switch (grade) {
    case Grade::a_plus:
    case Grade::a:
      break;
    case Grade::b:
      advise_on_eta(advice, metrics, criteria.eta_a, Grade::a);
      for (const Criterion& criterion : findings.criteria)
        if (criterion.for_grade_a && criterion.status == Status::fail)
          advise_on_failed(advice, findings, criterion);
      advise_on_devices(advice, findings);
      break;
    case Grade::c:
      advise_on_eta(advice, metrics, criteria.eta_b, Grade::b);
      advise_on_devices(advice, findings);
      break;
    case Grade::d:
      if (!findings.joint_failure.empty()) {
        advice.push_back(fmt::format(
            "remove the cause that {} names, then run again; what the throughput would be is not known from "
            "this evidence",
            findings.incident != nullptr && !findings.incident->culprit.empty()
                ? fmt::format("the incident of {}", findings.incident->culprit)
                : "the failure"));
      } else if (metrics.data.wrong_values + metrics.data.checksum_mismatches > 0) {
        advice.push_back(
            fmt::format("find what corrupts data ({} wrong values, {} checksum mismatches) before anything "
                        "else; the evidence names the rank that saw it, which need not be the one that "
                        "caused it",
                        metrics.data.wrong_values, metrics.data.checksum_mismatches));
      } else if (metrics.data.wrong_results > 0) {
        advice.push_back(
            fmt::format("take out the device that computed {} wrong result{}{}{}: what it returned was wrong "
                        "without any error",
                        metrics.data.wrong_results, metrics.data.wrong_results == 1 ? "" : "s",
                        findings.incident != nullptr ? ", " : "",
                        findings.incident != nullptr ? findings.incident->cause : ""));
      } else {
        advise_below_c(advice, findings);
        advise_on_eta(advice, metrics, criteria.eta_b, Grade::b);
        advise_on_devices(advice, findings);
      }
      break;
    case Grade::inconclusive:
      advice.emplace_back("complete the evidence as named above and run again");
      break;
  }
  return advice;
}

}  // namespace lockstep::certify
