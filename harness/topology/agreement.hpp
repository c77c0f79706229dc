#pragma once

#include <cstdint>
#include <span>

#include "harness/plan/plan.hpp"
#include "harness/topology/rank_card.hpp"

namespace lockstep::topology {

/// Throws InputError unless the ranks can run this leg together. A pure function of its arguments, so with
/// all cards on every rank all of them throw the same. In this order:
///  - all run one binary, one plan and one leg (the message names hosts and ranks of each that differs);
///  - each has a site, and one of the leg;
///  - every site of the leg has the number of ranks that `ranks_per_site` says, or where that is empty the
///  plan declares (networks declare none), at least one;
///  - tensor-parallel groups fit into each site.
/// Ranks in messages are mpirun's. `cards` are in order of world rank. `ranks_per_site`: of the leg's sites,
/// in its order, where the launch goes on without some of the plan's hosts.
void check_agreement(const plan::Plan& plan, const plan::Leg& leg, std::span<const RankCard> cards,
                     std::span<const std::uint32_t> ranks_per_site = {});

}  // namespace lockstep::topology
