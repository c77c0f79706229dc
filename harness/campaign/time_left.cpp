#include "harness/campaign/time_left.hpp"

#include <algorithm>
#include <utility>

namespace lockstep::campaign {

TimeLeft::TimeLeft(std::vector<Launch> launches, std::vector<double> expected_leg_s)
    : launches_(std::move(launches)), expected_leg_s_(std::move(expected_leg_s)) {}

void TimeLeft::ended(const Launch& launch, double seconds) {
  Seen& seen = seen_[launch.leg];
  seen.seconds += seconds;
  ++seen.count;
}

std::optional<double> TimeLeft::launch_s(std::uint32_t leg) const {
  if (const auto same = seen_.find(leg); same != seen_.end())
    return same->second.seconds / same->second.count;
  if (!seen_.empty()) {
    Seen all;
    for (const auto& [other, seen] : seen_) {
      all.seconds += seen.seconds;
      all.count += seen.count;
    }
    return all.seconds / all.count;
  }
  return predicted_s(leg);
}

std::optional<double> TimeLeft::predicted_s(std::uint32_t leg) const {
  if (leg < expected_leg_s_.size() && expected_leg_s_[leg] > 0.0)
    return expected_leg_s_[leg];
  return std::nullopt;
}

std::optional<double> TimeLeft::cautious_launch_s(std::uint32_t leg) const {
  const auto seen = launch_s(leg);
  if (seen_.contains(leg))
    return seen;
  return std::max(seen, predicted_s(leg));  // nothing is less than any number
}

std::optional<double> TimeLeft::estimate_s(std::size_t position, double elapsed_s, std::uint32_t done,
                                           std::uint32_t steps, double steps_per_s) const {
  double left_s = 0.0;
  if (steps_per_s > 0.0 && done <= steps) {
    left_s = (steps - done) / steps_per_s;
  } else if (const auto whole = launch_s(launches_[position].leg)) {
    left_s = std::max(0.0, *whole - elapsed_s);
  } else {
    return std::nullopt;
  }
  // Without an ended launch or a prediction the one that runs is the best guess for those that follow.
  const double current_s = elapsed_s + left_s;
  for (std::size_t i = position + 1; i < launches_.size(); ++i)
    left_s += launch_s(launches_[i].leg).value_or(current_s);
  return left_s;
}

}  // namespace lockstep::campaign
