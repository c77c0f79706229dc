#pragma once

#include <cstdint>
#include <vector>

#include "harness/plan/plan.hpp"
#include "harness/record/evidence.hpp"

namespace lockstep::campaign {

/// One launch of the harness that the campaign will make.
struct Launch {
  std::uint32_t index = 0;  ///< in the run: the `leg` of every row of evidence; of a first attempt, its place
                            ///< in the schedule
  std::uint32_t leg = 0;    ///< index in Plan::legs
  std::uint32_t round = 0;
  std::uint32_t attempt = 0;
  std::uint32_t first_step = 0;  ///< training steps that earlier attempts had saved
  std::vector<std::uint32_t>
      rank_drills{};  ///< of the plan, by index, that ranks are to make in this attempt
  std::vector<std::uint32_t>
      ranks_per_site{};              ///< of the leg's sites, after hosts were left out; empty: as declared
  std::uint32_t position = 0;        ///< in the schedule, of all attempts
  std::int64_t launched_utc_ns = 0;  ///< tells the journals of this launch from all others; 0: not begun
};

/// The launches in the order in which they are made. Every leg runs once a round; odd rounds run in reverse
/// (A, B, joint, joint, B, A, ...), so that a slow drift of the machine weighs equally on each leg and
/// cancels in their ratio.
[[nodiscard]] std::vector<Launch> schedule(const plan::Plan& plan);

/// The row that announces the launch in the evidence. `ranks` should leave a journal. An attempt that goes on
/// from a checkpoint has the steps that are left, the first of them warm-up again.
[[nodiscard]] record::LegRow leg_row(const plan::Plan& plan, const Launch& launch, std::uint32_t ranks);

}  // namespace lockstep::campaign
