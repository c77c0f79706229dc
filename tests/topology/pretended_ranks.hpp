#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "harness/plan/plan.hpp"
#include "harness/topology/rank_card.hpp"

namespace lockstep::topology {

/// Two sites with two hosts of two slots each, and one leg over both.
inline plan::Plan two_site_plan() {
  plan::Plan plan;
  plan.name = "two-sites";
  plan.path = "two-sites.toml";
  plan.text = "the plan's text";
  plan.placement = plan::Placement::by_host;
  plan.sites.push_back({"north", {"n[1-2]"}, 2});
  plan.sites.push_back({"south", {"s[1-2]"}, 2});
  plan.legs.push_back({"joint", plan::LegKind::joint, {SiteId(0), SiteId(1)}});
  plan.legs.push_back({"south", plan::LegKind::baseline, {SiteId(1)}});
  return plan;
}

inline RankCard pretended_card(std::uint32_t world_rank, const std::string& host, const std::string& site) {
  RankCard card;
  card.world_rank = world_rank;
  card.host = host;
  card.addresses = {"10.0.0.1"};
  card.boot_id = "boot-" + host;
  card.clock_domain = "boot-" + host;
  card.pid = 1000 + world_rank;
  card.cores = "0-1";
  card.binary_hash = std::string(64, 'a');
  card.plan_hash = std::string(64, 'b');
  card.leg = "joint";
  card.site = site;
  return card;
}

/// One card for each host, in this order; a name that begins with n is in the north.
inline std::vector<RankCard> pretended_cards(const std::vector<std::string>& hosts) {
  std::vector<RankCard> cards;
  for (const std::string& host : hosts)
    cards.push_back(
        pretended_card(static_cast<std::uint32_t>(cards.size()), host, host[0] == 'n' ? "north" : "south"));
  return cards;
}

}  // namespace lockstep::topology
