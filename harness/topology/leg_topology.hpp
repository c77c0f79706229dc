#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "harness/core/ids.hpp"
#include "harness/mpi/communicator.hpp"
#include "harness/plan/plan.hpp"
#include "harness/topology/clock_tree.hpp"
#include "harness/topology/rank_card.hpp"
#include "harness/topology/rank_order.hpp"

namespace lockstep::topology {

/// A leg whose ranks have met, agreed, and been put in order.
struct LegTopology {
  RankOrder order;
  std::vector<RankCard> cards;  ///< by RankId
  RankId self;
  mpi::Communicator leg;  ///< rank i is RankId i

  [[nodiscard]] const RankCard& own_card() const { return cards[self.value()]; }
  /// How clocks are to be compared (see synchronize_clocks).
  [[nodiscard]] ClockTree clock_tree() const;
};

/// Collective over `world`. Throws InputError, the same on every rank, when the ranks cannot run the leg
/// together (see check_agreement); mpi::DeadlineError when a rank does not come within `deadline_s`;
/// mpi::MpiError.
[[nodiscard]] LegTopology meet(const mpi::Communicator& world, const plan::Plan& plan, const plan::Leg& leg,
                               double deadline_s, std::span<const std::uint32_t> ranks_per_site = {});

}  // namespace lockstep::topology
