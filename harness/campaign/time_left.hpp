#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "harness/campaign/schedule.hpp"

namespace lockstep::campaign {

/// Estimates how long the rest of a campaign takes: from launches of the same leg that have ended, else from
/// any launch that has ended, else from what was predicted.
class TimeLeft {
 public:
  /// `expected_leg_s`: predicted seconds of a launch, by index in Plan::legs; may be empty.
  TimeLeft(std::vector<Launch> launches, std::vector<double> expected_leg_s);
  void ended(const Launch& launch, double seconds);
  /// `elapsed_s` of the launch at `position`, which has done `done` of `steps` at `steps_per_s` (0: not known
  /// yet). nullopt when there is nothing to go by.
  [[nodiscard]] std::optional<double> estimate_s(std::size_t position, double elapsed_s, std::uint32_t done,
                                                 std::uint32_t steps, double steps_per_s) const;

  /// How long one launch of the leg (index in Plan::legs) may well take: as those of the same leg that have
  /// ended, else the longer of what was predicted and what others took.
  [[nodiscard]] std::optional<double> cautious_launch_s(std::uint32_t leg) const;

 private:
  [[nodiscard]] std::optional<double> launch_s(std::uint32_t leg) const;
  [[nodiscard]] std::optional<double> predicted_s(std::uint32_t leg) const;
  struct Seen {
    double seconds = 0.0;
    std::uint32_t count = 0;
  };
  std::vector<Launch> launches_;
  std::vector<double> expected_leg_s_;
  std::map<std::uint32_t, Seen> seen_;
};

}  // namespace lockstep::campaign
