#pragma once

#include <span>

#include "harness/plan/plan.hpp"
#include "harness/topology/rank_card.hpp"

namespace lockstep::topology {

/// Throws InputError unless the ranks can run this leg together. A pure function of its arguments, so with
/// all cards on every rank all of them throw the same. In this order:
///  - all run one binary, one plan and one leg (the message names hosts and ranks of each that differs);
///  - each has a site, and one of the leg;
///  - every site of the leg has the number of ranks that the plan declares (networks declare none), at least
///  one;
///  - tensor-parallel groups fit into each site.
/// Ranks in messages are mpirun's. `cards` are in order of world rank.
void check_agreement(const plan::Plan& plan, const plan::Leg& leg, std::span<const RankCard> cards);

}  // namespace lockstep::topology
