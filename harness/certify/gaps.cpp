#include "harness/certify/gaps.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <set>

#include <fmt/format.h>

#include "harness/certify/launches.hpp"
#include "harness/core/hash.hpp"
#include "harness/core/text.hpp"
#include "harness/core/units.hpp"

namespace lockstep::certify {
namespace {

using Gaps = std::vector<std::string>;

std::string site_names(const plan::Plan& plan, const plan::Leg& leg) {
  std::vector<std::string> names;
  names.reserve(leg.sites.size());
  for (const SiteId site : leg.sites)
    names.push_back(plan.sites[site.value()].name);
  return join(names, ",");
}

std::string name_of(const Launch& launch) {
  return fmt::format("leg {} (round {}, attempt {})", launch.leg->name, launch.leg->round,
                     launch.leg->attempt);
}

/// Failures that answer the question: with them a joint leg did not merely go unseen.
bool is_cause(const record::FailureRow& row) {
  constexpr std::array kCauses = {"killed", "host_lost", "deadline", "transport", "device", "exit"};
  return std::find(kCauses.begin(), kCauses.end(), row.kind) != kCauses.end();
}

const record::FailureRow* cause_of(const record::Evidence& evidence, const Launch& launch) {
  const record::FailureRow* cause = nullptr;
  for (const record::FailureRow& row : evidence.failures) {
    if (row.leg != launch.leg->leg || !is_cause(row))
      continue;
    // A row that names a rank says more than one about the launch as a whole.
    if (cause == nullptr || (cause->rank < 0 && row.rank >= 0))
      cause = &row;
  }
  return cause;
}

void check_hashes(Gaps& gaps, const record::Evidence& evidence) {
  std::set<std::string> binaries;
  std::set<std::string> plans;
  for (const record::RankRow& row : evidence.ranks) {
    if (row.state == "missing")
      continue;
    binaries.insert(row.binary_hash);
    plans.insert(row.plan_hash);
  }
  if (binaries.size() > 1)
    gaps.push_back(fmt::format("the ranks ran {} different binaries", binaries.size()));
  if (binaries.contains(""))
    gaps.emplace_back("some rank did not record its binary's hash");
  if (plans.size() > 1)
    gaps.push_back(fmt::format("the ranks ran {} different plans", plans.size()));
  if (!plans.empty() && plans != std::set<std::string>{sha256(evidence.plan_text)})
    gaps.emplace_back("the plan that the ranks ran is not the plan stored in the evidence");
}

void check_ranks(Gaps& gaps, const Launch& launch) {
  std::set<std::uint32_t> complete;
  for (const record::RankRow* row : launch.ranks)
    if (row->state == "complete" && row->rank < launch.leg->ranks)
      complete.insert(row->rank);
  if (launch.ranks.size() > launch.leg->ranks)
    gaps.push_back(fmt::format("{} names more ranks than it has", name_of(launch)));
  if (launch.leg->ranks == 0)
    gaps.push_back(fmt::format("{} has no ranks", name_of(launch)));
  else if (complete.size() < launch.leg->ranks)
    gaps.push_back(fmt::format("{}: only {} of {} journals are complete", name_of(launch), complete.size(),
                               launch.leg->ranks));
}

void check_clock(Gaps& gaps, const Launch& launch) {
  if (launch.leg->ranks < 2)  // one rank's clock is common by itself
    return;
  if (launch.least_clock_rows < 2)
    gaps.push_back(fmt::format("{}: some rank's clock was not compared at start and end", name_of(launch)));
  if (launch.clock_bound_ns <= 0)
    gaps.push_back(fmt::format("{}: the clock's error bound is not stated", name_of(launch)));
}

/// What was run must be what the plan asks for: a shorter or smaller run says nothing about it.
void check_as_planned(Gaps& gaps, const plan::Plan& plan, const plan::Leg& leg, const Launch& launch) {
  if (launch.leg->first_step >= plan.run.warmup_steps + plan.run.steps) {
    gaps.push_back(fmt::format("{} goes on behind {} training steps, and the plan has {}", name_of(launch),
                               launch.leg->first_step, plan.run.warmup_steps + plan.run.steps));
    return;
  }
  // A further attempt has the steps that are left.
  const plan::AttemptSteps planned_steps = plan::attempt_steps(plan.run, launch.leg->first_step);
  if (launch.leg->steps != planned_steps.steady || launch.leg->warmup_steps != planned_steps.warmup)
    gaps.push_back(fmt::format("{} had {} steps after {} to warm up, the plan says {} after {}",
                               name_of(launch), launch.leg->steps, launch.leg->warmup_steps,
                               planned_steps.steady, planned_steps.warmup));
  const auto declared = plan::declared_ranks(plan, leg);
  if (declared && launch.leg->ranks != *declared)
    gaps.push_back(
        fmt::format("{} had {} ranks, the plan says {}", name_of(launch), launch.leg->ranks, *declared));
  std::set<std::string> sites;
  for (const record::RankRow* row : launch.ranks)
    if (row->state != "missing")
      sites.insert(row->site);
  std::set<std::string> planned;
  for (const SiteId site : leg.sites)
    planned.insert(plan.sites[site.value()].name);
  if (sites != planned && launch.completed())
    gaps.push_back(fmt::format("{} had ranks of other sites than its own", name_of(launch)));
}

void check_completed(Gaps& gaps, const Launch& launch) {
  for (const std::string& defect : launch.defects)
    gaps.push_back(fmt::format("{}: {}", name_of(launch), defect));
  check_ranks(gaps, launch);
  check_clock(gaps, launch);
  const auto steady = static_cast<std::size_t>(std::count_if(
      launch.steps.begin(), launch.steps.end(), [](const JudgedStep& step) { return step.steady; }));
  if (steady < launch.leg->steps)
    gaps.push_back(fmt::format("{}: {} of {} steady steps are recorded on every rank", name_of(launch),
                               steady, launch.leg->steps));
}

void check_leg(Gaps& gaps, const record::Evidence& evidence, const plan::Plan& plan, const plan::Leg& leg,
               const std::vector<Round>& rounds, bool failure_is_an_answer) {
  std::set<std::uint32_t> seen;
  for (const Round& round : rounds) {
    seen.insert(round.round);
    const Launch& last = *round.attempts.back();
    for (const Launch* launch : round.attempts) {
      if (launch->leg->sites != site_names(plan, leg) || launch->leg->kind != plan::to_string(leg.kind))
        gaps.push_back(fmt::format("{} ran on sites {} as {}, the plan says {} as {}", name_of(*launch),
                                   launch->leg->sites, launch->leg->kind, site_names(plan, leg),
                                   plan::to_string(leg.kind)));
      check_as_planned(gaps, plan, leg, *launch);
    }
    // Steps of all attempts count; of a baseline's earlier ones nothing is checked, and slow ones would lift
    // eta.
    if (leg.kind == plan::LegKind::baseline && round.attempts.size() > 1)
      gaps.push_back(
          fmt::format("leg {} was launched {} times in round {}; a baseline has to complete at once",
                      leg.name, round.attempts.size(), round.round));
    if (last.end == nullptr)
      gaps.push_back(fmt::format("{} was cut short: its end is not recorded", name_of(last)));
    else if (last.end->outcome == "interrupted")
      gaps.push_back(fmt::format("{} was interrupted", name_of(last)));
    else if (last.completed())
      check_completed(gaps, last);
    else if (!failure_is_an_answer || cause_of(evidence, last) == nullptr)
      gaps.push_back(fmt::format("{} did not complete{}{}", name_of(last),
                                 last.end->message.empty() ? "" : ": ", last.end->message));
  }
  for (std::uint32_t round = 0; round < plan.run.rounds; ++round)
    if (!seen.contains(round))
      gaps.push_back(fmt::format("leg {} was not launched in round {}", leg.name, round));
}

void check_equal_work(Gaps& gaps, const std::vector<Launch>& launches) {
  double first = 0.0;
  for (const Launch& launch : launches) {
    for (const record::RankRow* row : launch.ranks) {
      if (row->state == "missing")
        continue;
      if (first == 0.0)
        first = row->tokens_per_step;
      if (!(row->tokens_per_step > 0.0) || std::fabs(row->tokens_per_step - first) > 1e-9 * first) {
        gaps.push_back(
            fmt::format("{}: rank {} trains {} tokens a step, others {}; eta needs equal work per rank",
                        name_of(launch), row->rank, row->tokens_per_step, first));
        return;
      }
    }
  }
}

/// Ranks that each site has, by leg: a site must bring the same ranks jointly as alone.
void check_equal_ranks(Gaps& gaps, const plan::Plan& plan, const std::vector<Launch>& launches) {
  std::map<std::string, std::set<std::size_t>> counts;
  for (const Launch& launch : launches) {
    if (!launch.completed())
      continue;
    std::map<std::string, std::size_t> of_launch;
    for (const record::RankRow* row : launch.ranks)
      ++of_launch[row->site];
    for (const auto& [site, count] : of_launch)
      counts[site].insert(count);
  }
  for (const auto& [site, different] : counts) {
    const bool known = std::any_of(plan.sites.begin(), plan.sites.end(),
                                   [&, wanted = &site](const plan::Site& s) { return s.name == *wanted; });
    if (!known)
      gaps.push_back(fmt::format("ranks ran on site '{}', which the plan does not have", site));
    if (different.size() > 1)
      gaps.push_back(fmt::format("site {} had between {} and {} ranks: the legs cannot be compared", site,
                                 *different.begin(), *different.rbegin()));
  }
}

/// The hosts of a site must be the same in all launches: a run that was requeued may have come to others.
void check_equal_hosts(Gaps& gaps, const std::vector<Launch>& launches) {
  std::map<std::string, std::set<std::set<std::string>>> hosts;
  for (const Launch& launch : launches) {
    if (!launch.completed())
      continue;
    std::map<std::string, std::set<std::string>> of_launch;
    for (const record::RankRow* row : launch.ranks)
      of_launch[row->site].insert(row->host);
    for (auto& [site, names] : of_launch)
      hosts[site].insert(std::move(names));
  }
  for (const auto& [site, different] : hosts) {
    if (different.size() > 1)
      gaps.push_back(
          fmt::format("site {} ran on other hosts in some launches than in others: the legs cannot be "
                      "compared",
                      site));
  }
}

/// Spinning or backing off, without the reason for it.
std::string progress_mode(const record::RankRow& row) {
  return row.progress.substr(0, row.progress.find(':'));
}

/// A host must compute and wait in the same way in every leg, or eta compares methods and not sites.
void check_equal_methods(Gaps& gaps, const record::Evidence& evidence) {
  std::map<std::string, std::set<std::string>> methods;
  for (const record::RankRow& row : evidence.ranks)
    if (row.state != "missing")
      methods[row.host].insert(fmt::format("{}, {}, {}", row.compute, row.fabric, progress_mode(row)));
  for (const auto& [host, different] : methods) {
    if (different.size() < 2)
      continue;
    const std::vector<std::string> names(different.begin(), different.end());
    gaps.push_back(
        fmt::format("host {} did not work in the same way in all launches ({}): the legs cannot be "
                    "compared; set compute.kernel and fabric.progress in the plan",
                    host, join(names, " / ")));
  }
}

void check_plausible(Gaps& gaps, const plan::Plan& plan, const Metrics& metrics) {
  if (metrics.eta && metrics.eta->low > plan.criteria.eta_max)
    gaps.push_back(
        fmt::format("eta is above {:g} with {} confidence (interval {:.4f} to {:.4f}): sites cannot make "
                    "each other faster, so the baselines were disturbed; run again on a quiet machine",
                    plan.criteria.eta_max, format_percent(plan.criteria.confidence, 0), metrics.eta->low,
                    metrics.eta->high));
}

void check_oversubscription(Gaps& gaps, const record::Evidence& evidence) {
  std::set<std::pair<std::int32_t, std::int32_t>> crowded;
  for (const record::ProvenanceRow& row : evidence.provenance)
    if (row.rank >= 0 && row.key == "oversubscribed" && row.value == "yes")
      crowded.emplace(row.leg, row.rank);
  std::set<std::string> hosts;
  for (const record::RankRow& row : evidence.ranks) {
    const bool on_cpu = row.compute.rfind("cpu", 0) == 0;
    if (on_cpu &&
        (crowded.contains({static_cast<std::int32_t>(row.leg), static_cast<std::int32_t>(row.rank)}) ||
         crowded.contains({-1, static_cast<std::int32_t>(row.rank)})))
      hosts.insert(row.host);
  }
  if (!hosts.empty()) {
    const std::vector<std::string> names(hosts.begin(), hosts.end());
    gaps.push_back(
        fmt::format("host {} had more computing ranks than cores, so eta would measure the host and not "
                    "the sites; use compute.backend = \"paced\" or fewer slots",
                    join(names, ", ")));
  }
}

void check_amounts(Gaps& gaps, const plan::Plan& plan, const Metrics& metrics, bool joint_failed) {
  for (const LegMetrics& leg : metrics.legs) {
    if (leg.kind == plan::LegKind::joint && joint_failed)
      continue;
    if (leg.figures.time_s.count < plan.criteria.min_steps)
      gaps.push_back(fmt::format("leg {} has {} steady steps, {} are needed", leg.name,
                                 leg.figures.time_s.count, plan.criteria.min_steps));
  }
  if (metrics.clock_bound && *metrics.clock_bound > plan.criteria.clock_bound_max)
    gaps.push_back(fmt::format("the common clock is known to {} of a step, at most {} is allowed",
                               format_percent(*metrics.clock_bound),
                               format_percent(plan.criteria.clock_bound_max)));
  if (joint_failed)
    return;
  if (metrics.data.least_checked_steps == 0)
    gaps.emplace_back("the reduced data of some rank of the joint leg were never checked");
  if (!metrics.wan)
    gaps.emplace_back("communication of the joint leg is not recorded in every steady step on every rank");
  else if (metrics.wan->cut_bytes <= 0.0)
    gaps.emplace_back("nothing was communicated between the sites in the joint leg");
}

/// A site that was throttled alone and not jointly would lift eta: it is measured against itself at its best.
void check_throttled_baselines(Gaps& gaps, const plan::Plan& plan, const Metrics& metrics) {
  constexpr double kMostMore = 0.05;
  const auto joint = std::find_if(plan.legs.begin(), plan.legs.end(),
                                  [](const plan::Leg& leg) { return leg.kind == plan::LegKind::joint; });
  const LegThrottle* together = joint == plan.legs.end() ? nullptr : metrics.devices.leg(joint->name);
  if (together == nullptr || together->steps == 0)
    return;
  for (const plan::Leg& leg : plan.legs) {
    const LegThrottle* alone = leg.kind == plan::LegKind::baseline ? metrics.devices.leg(leg.name) : nullptr;
    if (alone != nullptr && alone->share() > together->share() + kMostMore)
      gaps.push_back(fmt::format(
          "leg {} had a throttled device in {} of its steps and the joint leg in {}: eta would compare "
          "with a slowed baseline; let the machines cool and run again",
          leg.name, format_percent(alone->share()), format_percent(together->share())));
  }
}

bool baselines_completed(const plan::Plan& plan, const std::vector<Launch>& launches) {
  for (const plan::Leg& leg : plan.legs) {
    if (leg.kind != plan::LegKind::baseline)
      continue;
    const std::vector<Round> rounds = rounds_of(launches, leg.name);
    if (rounds.empty() ||
        !std::all_of(rounds.begin(), rounds.end(), [](const Round& round) { return round.completed(); }))
      return false;
  }
  return true;
}

std::string joint_failure_in(const record::Evidence& evidence, const plan::Plan& plan,
                             const std::vector<Launch>& launches) {
  if (!baselines_completed(plan, launches))
    return "";
  for (const plan::Leg& leg : plan.legs) {
    if (leg.kind != plan::LegKind::joint)
      continue;
    for (const Round& round : rounds_of(launches, leg.name)) {
      const Launch& last = *round.attempts.back();
      if (last.end == nullptr || last.end->outcome != "failed")
        continue;
      if (const record::FailureRow* cause = cause_of(evidence, last))
        return fmt::format("{}: {}{}{}", name_of(last), cause->kind,
                           cause->rank >= 0 ? fmt::format(" of rank {}", cause->rank) : std::string(),
                           cause->message.empty() ? std::string() : ": " + cause->message);
    }
  }
  return "";
}

}  // namespace

std::string joint_failure(const record::Evidence& evidence, const plan::Plan& plan) {
  return joint_failure_in(evidence, plan, collect_launches(evidence));
}

std::vector<std::string> find_gaps(const record::Evidence& evidence, const plan::Plan& plan,
                                   const Metrics& metrics) {
  Gaps gaps;
  const std::vector<Launch> launches = collect_launches(evidence);
  const bool joint_failed = !joint_failure_in(evidence, plan, launches).empty();
  check_hashes(gaps, evidence);
  std::set<SiteId> alone;
  for (const plan::Leg& leg : plan.legs) {
    if (leg.kind == plan::LegKind::baseline && leg.sites.size() == 1)
      alone.insert(leg.sites.front());
    check_leg(gaps, evidence, plan, leg, rounds_of(launches, leg.name),
              leg.kind == plan::LegKind::joint && joint_failed);
  }
  if (metrics.joint() == nullptr)
    gaps.emplace_back("the plan has no joint leg");
  for (std::uint32_t site = 0; site < plan.sites.size(); ++site)
    if (!alone.contains(SiteId(site)))
      gaps.push_back(fmt::format("the plan has no baseline leg of site {}", plan.sites[site].name));
  check_equal_work(gaps, launches);
  check_equal_ranks(gaps, plan, launches);
  check_equal_hosts(gaps, launches);
  check_equal_methods(gaps, evidence);
  check_plausible(gaps, plan, metrics);
  check_throttled_baselines(gaps, plan, metrics);
  check_oversubscription(gaps, evidence);
  check_amounts(gaps, plan, metrics, joint_failed);
  for (const record::FailureRow& row : evidence.failures)
    if (row.kind == "graph_mismatch" || row.kind == "dropped_rows")
      gaps.push_back(
          fmt::format("launch {}: {}{}{}", row.leg, row.kind, row.message.empty() ? "" : ": ", row.message));
  return gaps;
}

}  // namespace lockstep::certify
