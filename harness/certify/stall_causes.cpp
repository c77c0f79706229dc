#include "harness/certify/stall_causes.hpp"

#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "harness/certify/communication.hpp"
#include "harness/core/units.hpp"
#include "harness/stats/stall.hpp"

namespace lockstep::certify {
namespace {

constexpr double kExplains = 0.5;  // share of a stall's extra time

double slowest_compute_s(const JudgedStep& step) {
  std::int64_t slowest_ns = 0;
  for (const record::StepRow* row : step.rows)
    slowest_ns = std::max(slowest_ns, row->compute_ns);
  return static_cast<double>(slowest_ns) / 1e9;
}

void add_launch(const Launch& launch, JointStalls& stalls) {
  const std::map<std::uint32_t, double> transfers = wan_transfer_by_step(launch);
  const auto transfer_s = [&transfers](std::uint32_t step) {
    const auto found = transfers.find(step);
    return found == transfers.end() ? 0.0 : found->second;
  };
  std::vector<double> computing;
  std::vector<double> transferring;
  for (const JudgedStep& step : launch.steps) {
    if (!step.steady)
      continue;
    computing.push_back(slowest_compute_s(step));
    transferring.push_back(transfer_s(step.step));
  }
  const stats::StallThreshold threshold = stats::StallRule{}.threshold(launch.steady_times_s());
  const double usual_compute_s = stats::median(computing);
  const double usual_transfer_s = stats::median(transferring);
  for (const JudgedStep& step : launch.steps) {
    if (!step.steady || !threshold.is_stall(step.time_s()))
      continue;
    const double extra_s = step.time_s() - threshold.median;
    ++stalls.steps;
    stalls.longest_s = std::max(stalls.longest_s, step.time_s());
    stalls.cost_s += extra_s;
    if (transfer_s(step.step) - usual_transfer_s >= kExplains * extra_s) {
      ++stalls.between_sites;
      stalls.between_sites_cost_s += extra_s;
    } else if (slowest_compute_s(step) - usual_compute_s >= kExplains * extra_s) {
      ++stalls.in_compute;
    }
  }
}

}  // namespace

JointStalls figure_stalls(const std::vector<Round>& rounds) {
  JointStalls stalls;
  std::size_t steps = 0;
  for (const Round& round : rounds) {
    for (const Launch* launch : round.attempts) {
      add_launch(*launch, stalls);
      steps += launch->steady_times_s().size();
    }
  }
  if (steps > 0) {
    stalls.cost_s /= static_cast<double>(steps);
    stalls.between_sites_cost_s /= static_cast<double>(steps);
  }
  return stalls;
}

std::string describe_stalls(const Metrics& metrics) {
  const JointStalls& stalls = metrics.stalls;
  const LegMetrics* joint = metrics.joint();
  if (stalls.steps == 0 || joint == nullptr)
    return {};
  std::string text =
      fmt::format("{} of {} joint steps stalled (longest {}, p50 {}) and cost {} of the mean step of {}",
                  stalls.steps, joint->figures.time_s.count, format_seconds(stalls.longest_s),
                  format_seconds(joint->figures.time_s.p50), format_seconds(stalls.cost_s),
                  format_seconds(joint->figures.time_s.mean));
  std::vector<std::string> parts;
  if (stalls.between_sites > 0)
    parts.push_back(
        fmt::format("{} in transfers between sites that every rank had joined: lost packets or a link "
                    "that was interrupted, not a slow rank (which pair of sites, a reduction over all "
                    "of them does not tell)",
                    stalls.between_sites));
  if (stalls.in_compute > 0)
    parts.push_back(fmt::format("{} in the computing of the slowest rank", stalls.in_compute));
  if (const std::size_t rest = stalls.steps - stalls.between_sites - stalls.in_compute; rest > 0)
    parts.push_back(fmt::format("{} not explained by either", rest));
  for (std::size_t i = 0; i < parts.size(); ++i)
    text += (i == 0 ? ": " : "; ") + parts[i];
  return text;
}

}  // namespace lockstep::certify
