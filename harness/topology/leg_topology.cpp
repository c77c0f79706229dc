#include "harness/topology/leg_topology.hpp"

#include <utility>

#include "harness/topology/agreement.hpp"

namespace lockstep::topology {

ClockTree LegTopology::clock_tree() const {
  std::vector<std::string> domains;
  for (const RankCard& card : cards)
    domains.push_back(card.clock_domain);
  return build_clock_tree(order.site, domains);
}

LegTopology meet(const mpi::Communicator& world, const plan::Plan& plan, const plan::Leg& leg,
                 double deadline_s, std::span<const std::uint32_t> ranks_per_site) {
  const auto world_rank = static_cast<std::uint32_t>(world.rank());
  std::vector<RankCard> by_world = exchange_cards(world, make_rank_card(plan, leg, world_rank), deadline_s);
  check_agreement(plan, leg, by_world, ranks_per_site);
  RankOrder order = order_ranks(plan, leg, by_world);
  const RankId self = order.leg_rank[world_rank];
  std::vector<RankCard> cards;
  for (const std::uint32_t rank : order.world_rank)
    cards.push_back(std::move(by_world[rank]));
  mpi::Communicator communicator = world.split(0, static_cast<int>(self.value()), deadline_s);
  return {std::move(order), std::move(cards), self, std::move(communicator)};
}

}  // namespace lockstep::topology
