#pragma once

#include <string>

#include "harness/app/rank_options.hpp"
#include "harness/mpi/communicator.hpp"
#include "harness/plan/plan.hpp"
#include "harness/record/evidence.hpp"

namespace lockstep::app {

/// Where this launch leaves its files; the same text on every rank. Each host makes the folders for itself,
/// so a shared file system is not needed.
struct RankPlaces {
  std::string journals;        ///< folder of this launch's journals
  std::string results_folder;  ///< results/<plan>-<UTC>, when run by hand; else empty
};

/// Rank 0 decides. Collective over `leg`; makes nothing yet.
[[nodiscard]] RankPlaces choose_places(const RankOptions& options, const plan::Plan& plan,
                                       const record::LegRow& row, const mpi::Communicator& leg,
                                       double deadline_s);

/// Makes the folder of the journals on this host. Throws InputError when it cannot be written.
void make_places(const RankPlaces& places);

/// Brings journals that rank 0 cannot see (no shared file system) to its folder. Collective over `leg`; call
/// it when all ranks are well. A copy appears under its name only when it is whole.
void collect_journals(const std::string& folder, const mpi::Communicator& leg, double deadline_s);

}  // namespace lockstep::app
