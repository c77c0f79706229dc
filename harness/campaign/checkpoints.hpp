#pragma once

#include <cstdint>
#include <string>

#include "harness/campaign/results_folder.hpp"
#include "harness/campaign/schedule.hpp"
#include "harness/plan/plan.hpp"

namespace lockstep::campaign {

/// Folder of the checkpoints of one leg and round: `<base>/<leg>-r<round>`. Empty when the plan makes none.
[[nodiscard]] std::string checkpoints_folder(const plan::Plan& plan, const Launch& launch,
                                             const ResultsFolder& folder);

/// Training steps that the newest whole checkpoint in such a folder holds; 0 when there is none. A checkpoint
/// is `step-<N>/`, and whole when it has the file `complete` inside.
[[nodiscard]] std::uint32_t newest_checkpoint(const std::string& checkpoints_folder);

/// Removes what is in it: the leg has ended.
void remove_checkpoints(const std::string& checkpoints_folder) noexcept;

}  // namespace lockstep::campaign
