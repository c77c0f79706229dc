#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "harness/core/ids.hpp"

/// Comparing clocks: who compares with whom, and what follows from what was measured. Pure arithmetic.
namespace lockstep::topology {

/// common time = local time + offset_ns, within +- bound_ns, as of local_ns. The common clock is that of rank
/// 0.
struct ClockEstimate {
  std::int64_t local_ns = 0;
  std::int64_t offset_ns = 0;
  std::int64_t bound_ns = 0;
};

/// How a rank learns its offset.
enum class ClockLink {
  root,      ///< it is the common clock
  shared,    ///< it reads the same clock as its parent
  measured,  ///< by messages to and from its parent
};

struct ClockParent {
  RankId parent;
  ClockLink link = ClockLink::root;
};

/// By RankId.
using ClockTree = std::vector<ClockParent>;

/// Ranks that share a clock follow the first of them; those follow the first of them in their site; these
/// follow rank 0. So messages cross between sites once for each site. `sites` and `clock_domains` by RankId.
[[nodiscard]] ClockTree build_clock_tree(std::span<const SiteId> sites,
                                         std::span<const std::string> clock_domains);

/// One question and its answer: sent and received on the local clock, answered on the remote one.
struct ClockExchange {
  std::int64_t sent_ns = 0;
  std::int64_t remote_ns = 0;
  std::int64_t received_ns = 0;
  [[nodiscard]] std::int64_t round_trip_ns() const { return received_ns - sent_ns; }
};

/// The remote clock against the local one, from one exchange: the answer was given somewhere between sending
/// and receiving, so offset = remote - (sent + received) / 2 and the bound is half the round trip, however
/// unequal the two ways are (Cristian 1989). The exchange with the shortest round trip says most.
[[nodiscard]] ClockEstimate estimate_offset(const ClockExchange& exchange);

/// Two clocks of different machines drift apart while neither is looked at; this much at most, in parts per
/// million.
constexpr double kDriftPpm = 20.0;

/// Local clock against the common one, from `to_parent` (local against the parent's) and `parent` (the
/// parent's against the common one, made earlier or at the same time). Offsets and bounds add up, and the
/// bound grows by the drift of the parent's clock between the two; `drift_ppm` is 0 when the parent is the
/// common clock.
[[nodiscard]] ClockEstimate compose(const ClockEstimate& to_parent, const ClockEstimate& parent,
                                    double drift_ppm);

}  // namespace lockstep::topology
