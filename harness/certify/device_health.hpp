#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "harness/plan/plan.hpp"
#include "harness/record/evidence.hpp"
#include "harness/stats/bootstrap.hpp"

/// How the devices fared that the ranks computed on, and how evenly they computed. Figures only: see
/// criteria.hpp.
namespace lockstep::certify {

struct Launch;

/// A rank and what it computes on, as people look for it.
struct RankPlace {
  std::uint32_t rank = 0;
  std::string site;
  std::string host;
  std::string device;  ///< name; empty when nobody watched it
  std::string serial;  ///< empty when it is not told
};

/// How much slower a rank computed at the end of a launch than at its begin. Of launches whose steady steps
/// last for 20 s at least.
struct RateDrift {
  std::string leg;
  std::uint32_t round = 0;
  std::uint32_t attempt = 0;
  RankPlace place;
  double loss = 0.0;  ///< 1 - rate at the last steady step / rate at the first; negative: it became faster
  stats::Interval interval;  ///< of the loss, for all ranks and launches together
  std::size_t steps = 0;
  std::size_t throttled_steps = 0;
};

/// A rank whose device was throttled in steady steps.
struct ThrottledRank {
  std::string leg;
  RankPlace place;
  std::size_t steps = 0;      ///< steady, all launches of the leg
  std::size_t throttled = 0;  ///< of them, with a throttle at the same time
  std::int64_t bits = 0;      ///< reasons, see watch/throttle_bits.hpp
  double hottest_c = -1.0;    ///< -1: not told
  std::string marked;  ///< those steps: `round 1: 50-99, 120; round 2: 3-5`; cut after the first 16 runs
};

/// A rank that computes for longer than the others in every launch of the joint leg.
struct SlowRank {
  RankPlace place;
  double ratio = 0.0;  ///< its median compute time / the median of all ranks' medians; median over launches
  std::size_t launches = 0;
  std::size_t throttled_steps = 0;  ///< of the joint leg
  std::int64_t bits = 0;
};

/// Steady steps of a leg in which the device of any rank was throttled.
struct LegThrottle {
  std::string leg;
  std::size_t steps = 0;
  std::size_t throttled = 0;
  [[nodiscard]] double share() const {
    return steps == 0 ? 0.0 : static_cast<double>(throttled) / static_cast<double>(steps);
  }
};

struct DeviceHealth {
  std::size_t watched = 0;               ///< devices of the launch that watched most
  std::vector<RateDrift> drifts;         ///< the surest loss first, at most 10
  std::size_t drift_series = 0;          ///< ranks and launches that a drift was computed of
  std::vector<ThrottledRank> throttled;  ///< most steps first, at most 16
  std::size_t throttled_ranks = 0;       ///< all of them
  std::vector<LegThrottle> legs;         ///< in the plan's order
  std::optional<SlowRank> slow;          ///< the slowest, when one stands out
  [[nodiscard]] const LegThrottle* leg(const std::string& name) const;
};

[[nodiscard]] DeviceHealth figure_devices(const record::Evidence& evidence, const plan::Plan& plan,
                                          const std::vector<Launch>& launches);

/// `rank 4 on b2 (NVIDIA H200, serial 1650123)`
[[nodiscard]] std::string in_words(const RankPlace& place);
/// One sentence for each thing that stands out: the slow rank, throttled ranks. Empty when all were well.
[[nodiscard]] std::vector<std::string> describe_devices(const DeviceHealth& health);

}  // namespace lockstep::certify
