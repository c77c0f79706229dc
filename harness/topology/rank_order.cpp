#include "harness/topology/rank_order.hpp"

#include <algorithm>
#include <map>
#include <numeric>
#include <set>

#include <fmt/format.h>

#include "harness/core/error.hpp"

namespace lockstep::topology {
namespace {

/// Position of each card's site among the leg's sites.
std::vector<std::uint32_t> site_positions(const plan::Plan& plan, const plan::Leg& leg,
                                          std::span<const RankCard> cards) {
  std::map<std::string, std::uint32_t> positions;
  for (std::uint32_t i = 0; i < leg.sites.size(); ++i)
    positions.emplace(plan.sites[leg.sites[i].value()].name, i);
  std::vector<std::uint32_t> found;
  for (const RankCard& card : cards) {
    const auto position = positions.find(card.site);
    LOCKSTEP_EXPECT(position != positions.end(), "a rank's site is not in the leg");
    found.push_back(position->second);
  }
  return found;
}

/// Nodes are told apart by name and boot, since copies of one machine image can share a name. Colocated sites
/// share a machine, which then counts as one node in each.
std::string node_key(const RankCard& card) {
  return card.site + '\n' + card.host + '\n' + card.boot_id;
}

}  // namespace

RankOrder order_ranks(const plan::Plan& plan, const plan::Leg& leg, std::span<const RankCard> cards) {
  const std::vector<std::uint32_t> positions = site_positions(plan, leg, cards);
  // Nodes by first appearance in mpirun's order.
  std::map<std::string, std::uint32_t> appearance;
  std::vector<std::uint32_t> node_of_card;
  for (const RankCard& card : cards)
    node_of_card.push_back(
        appearance.try_emplace(node_key(card), static_cast<std::uint32_t>(appearance.size())).first->second);

  RankOrder order;
  order.world_rank.resize(cards.size());
  std::iota(order.world_rank.begin(), order.world_rank.end(), 0U);
  std::stable_sort(order.world_rank.begin(), order.world_rank.end(), [&](std::uint32_t a, std::uint32_t b) {
    if (positions[a] != positions[b])
      return positions[a] < positions[b];
    return node_of_card[a] < node_of_card[b];
  });

  order.leg_rank.resize(cards.size());
  order.ranks_per_site.assign(leg.sites.size(), 0);
  std::uint32_t previous_node = 0;
  for (std::uint32_t rank = 0; rank < cards.size(); ++rank) {
    const std::uint32_t world = order.world_rank[rank];
    LOCKSTEP_EXPECT(cards[world].world_rank == world, "cards are in order of world rank");
    order.leg_rank[world] = RankId(rank);
    order.site.push_back(leg.sites[positions[world]]);
    ++order.ranks_per_site[positions[world]];
    const bool new_node = rank == 0 || node_of_card[world] != previous_node;
    if (new_node)
      order.hosts.push_back(cards[world].host);
    previous_node = node_of_card[world];
    order.node.emplace_back(static_cast<std::uint32_t>(order.hosts.size() - 1));
    order.local_rank.push_back(new_node ? 0 : order.local_rank.back() + 1);
  }
  return order;
}

std::uint32_t ring_crossings(std::span<const SiteId> sites) {
  std::uint32_t crossings = 0;
  for (std::size_t i = 0; i < sites.size(); ++i) {
    if (sites[i] != sites[(i + 1) % sites.size()])
      ++crossings;
  }
  return crossings;
}

std::uint32_t least_ring_crossings(std::span<const SiteId> sites) {
  std::set<std::uint32_t> different;
  for (const SiteId site : sites)
    different.insert(site.value());
  return different.size() > 1 ? static_cast<std::uint32_t>(different.size()) : 0;
}

std::string crossing_warning(const RankOrder& order) {
  std::vector<SiteId> as_launched;
  for (const RankId rank : order.leg_rank)
    as_launched.push_back(order.site[rank.value()]);
  const std::uint32_t crossings = ring_crossings(as_launched);
  const std::uint32_t least = least_ring_crossings(as_launched);
  if (crossings <= least)
    return {};
  return fmt::format(
      "mpirun's rank order crosses between sites {} times around a ring, {} are enough; Lockstep orders its "
      "ranks site by "
      "site, but other programs launched this way pay for every crossing: list the hosts site by site",
      crossings, least);
}

}  // namespace lockstep::topology
