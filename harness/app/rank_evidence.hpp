#pragma once

#include <cstdint>
#include <string>

#include "harness/app/rank_options.hpp"
#include "harness/app/rank_places.hpp"
#include "harness/plan/plan.hpp"
#include "harness/record/evidence.hpp"

namespace lockstep::app {

/// The plan's leg that the options name. Throws InputError with the nearest name.
[[nodiscard]] const plan::Leg& leg_of(const plan::Plan& plan, const std::string& name);

/// Steps of a launch that goes on behind `first_step` training steps, warm-up included: the first ones of
/// each launch are warm-up again. Throws InputError when none is left.
[[nodiscard]] plan::AttemptSteps steps_left(const plan::Plan& plan, std::uint32_t first_step);

/// The launch as it is planned, with `ranks` ranks.
[[nodiscard]] record::LegRow leg_row(const plan::Plan& plan, const plan::Leg& leg, const RankOptions& options,
                                     std::uint32_t ranks);

/// Brings the journals of a launch that was started by hand into `places.results_folder`/run.h5 beside a copy
/// of the plan, and prints the summary. `outcome`: completed or interrupted. For rank 0, after the run.
/// Throws RunError.
void merge_by_hand(const plan::Plan& plan, const record::LegRow& row, const RankPlaces& places,
                   const std::string& outcome);

}  // namespace lockstep::app
