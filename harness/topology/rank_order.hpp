#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "harness/core/ids.hpp"
#include "harness/plan/plan.hpp"
#include "harness/topology/rank_card.hpp"

namespace lockstep::topology {

/// Who is where in a leg. Tables by RankId unless said otherwise.
struct RankOrder {
  std::vector<std::uint32_t> world_rank;  ///< as mpirun numbered it
  std::vector<RankId> leg_rank;           ///< by world rank
  std::vector<SiteId> site;
  std::vector<NodeId> node;
  std::vector<std::uint32_t> local_rank;      ///< among the ranks of the same node
  std::vector<std::string> hosts;             ///< by NodeId
  std::vector<std::uint32_t> ranks_per_site;  ///< in the order of the leg's sites
};

/// Orders site by site (as the leg lists them), within a site host by host, within a host by world rank.
/// Hosts keep the order in which mpirun filled them, which a batch system may have chosen to follow the
/// network. `cards` in order of world rank, after check_agreement().
[[nodiscard]] RankOrder order_ranks(const plan::Plan& plan, const plan::Leg& leg,
                                    std::span<const RankCard> cards);

/// Neighbours in a ring over the ranks, in the order given, that are in different sites.
[[nodiscard]] std::uint32_t ring_crossings(std::span<const SiteId> sites);
/// The least that any order of the same ranks has: one for each site, none for one site alone.
[[nodiscard]] std::uint32_t least_ring_crossings(std::span<const SiteId> sites);

/// A warning when mpirun's own order of the ranks crosses between sites more often than needed; otherwise
/// empty. Lockstep's collectives use the order of order_ranks() and do not suffer from it; other programs
/// launched in the same way would.
[[nodiscard]] std::string crossing_warning(const RankOrder& order);

}  // namespace lockstep::topology
