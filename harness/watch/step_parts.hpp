#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "harness/watch/launch_view.hpp"

/// What the time of each steady step was spent in, rank by rank. Internal to this room.
///
/// All sums are of intervals on one rank's own clock; where intervals of several communications overlap they
/// count once.
namespace lockstep::watch {

/// How the moment is found at which the last rank entered a communication.
enum class ArrivalRule {
  shortest_time,  ///< the last to arrive spends the shortest time in it: the others came earlier by as much
                  ///< as they took longer. Needs no common clock; holds when all ranks leave it together
  common_clock,   ///< the latest entry on the common clock. Right within twice the bound of the clocks
};

/// One rank's share of a step.
struct RankParts {
  std::int64_t length_ns = 0;
  std::int64_t gap_ns = 0;  ///< from the end of the step before to the begin of this one
  std::int64_t compute_ns = 0;
  std::int64_t other_ns = 0;   ///< of the step: neither computing nor standing still for communication
  std::int64_t waited_ns = 0;  ///< in communication, for others to enter it
  std::int64_t lan_ns = 0;     ///< communication inside sites that all had joined moved
  std::int64_t wan_ns = 0;     ///< likewise between sites
  /// What the rank did by itself, without waiting for anybody or anything between ranks.
  [[nodiscard]] std::int64_t own_ns() const { return gap_ns + compute_ns + other_ns; }
};

/// One communication of a step; of a group in several parts, the slowest of them.
struct OpParts {
  std::uint32_t op = 0;
  std::int64_t moving_ns = 0;  ///< from the last rank's arrival
  std::int64_t waited_ns = 0;  ///< by the rank that waited longest
  std::uint32_t last = 0;      ///< rank that arrived last in the part that waited longest
  std::uint32_t slowest = 0;   ///< a rank of the part that moved longest
};

struct StepParts {
  std::uint32_t step = 0;
  std::int64_t length_ns = 0;  ///< of the rank that took longest
  std::uint32_t longest = 0;   ///< that rank
  std::int64_t begin_ns = 0;   ///< on that rank's clock
  std::int64_t saving_ns = 0;  ///< of the gaps before it: what the slowest rank took to save a checkpoint
  std::vector<RankParts> ranks;
  std::vector<OpParts> ops;  ///< ascending
  std::int64_t lan_ns = 0;   ///< of the rank where it is longest
  std::int64_t wan_ns = 0;
};

/// By step that they were saved before: what the slowest rank took for its share of a checkpoint.
[[nodiscard]] std::map<std::uint32_t, std::int64_t> saving_times(const LaunchView& view);

/// Steady steps (no rank flags them as warm-up) that every rank completed.
[[nodiscard]] std::vector<StepParts> measure_steps(const LaunchView& view, ArrivalRule rule);

/// A figure in ordinary steps, and how it varies.
struct Usual {
  double median = 0.0;
  double spread = 0.0;  ///< median absolute deviation, scaled to a standard deviation
  /// Beyond the median by more than the figure varies by itself; 0 when it is not.
  [[nodiscard]] double beyond(std::int64_t value) const;
};

/// The ordinary step of a launch. All in ns.
struct UsualStep {
  struct Rank {
    Usual own;
    Usual gap;
    Usual compute;
    Usual other;
    Usual waited;
    Usual lan;
    Usual wan;
  };
  struct Op {
    Usual moving;
    Usual waited;
  };
  std::vector<Rank> ranks;
  std::map<std::uint32_t, Op> ops;
  Usual lan;
  Usual wan;
};
[[nodiscard]] UsualStep usual_step(const std::vector<StepParts>& steps, std::uint32_t ranks);

}  // namespace lockstep::watch
