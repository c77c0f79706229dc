#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

/// Where the wall time of a leg went.
namespace lockstep::certify {

/// Every second of a round of a leg, from the launch of its first attempt to the end of its last, is in one
/// of these.
enum class TimeBucket : std::uint8_t {
  productive,  ///< steps that were kept, without what follows
  exposed,     ///< of such steps: compute stood still for communication, on the worst rank
  stall,       ///< of such steps that are stalls: what is beyond the median step
  checkpoint,  ///< from the end of a step on its last rank until all have begun the next, when one was saved
  lost,       ///< steps that had to be run again, and those of a round that failed beyond its last checkpoint
  detection,  ///< from an incident's first symptom until somebody knew of it
  restart,    ///< launch, set-up and tear-down of all attempts, waits between them
  idle,       ///< between steps, and what is in none of the others
};
constexpr std::size_t kTimeBuckets = 8;
[[nodiscard]] const char* to_string(TimeBucket bucket);

struct TimeAccount {
  double wall_s = 0.0;
  std::array<double, kTimeBuckets> seconds{};  ///< by TimeBucket; their sum is wall_s
  std::size_t attempts = 0;
  std::size_t kept_steps = 0;  ///< warm-up included
  std::size_t lost_steps = 0;
  double kept_tokens = 0.0;  ///< trained in the kept steps, by all ranks

  [[nodiscard]] double of(TimeBucket bucket) const { return seconds[static_cast<std::size_t>(bucket)]; }
  TimeAccount& operator+=(const TimeAccount& other);
};

}  // namespace lockstep::certify
