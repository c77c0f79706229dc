#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <vector>

#include "harness/campaign/results_folder.hpp"
#include "harness/campaign/schedule.hpp"
#include "harness/plan/plan.hpp"
#include "harness/record/evidence.hpp"
#include "harness/record/run_file.hpp"

namespace lockstep::campaign {

/// What an earlier part of the same campaign left in its folder.
///
/// A launch that ended is kept, completed or failed: a failure is evidence and is not made to go away by
/// trying again. One that was interrupted, whose controller died, or that no rank stepped in because the
/// launcher could not start them (which answers nothing about the sites) is made again, with all attempts of
/// its leg and round; what they left stays aside.
struct Earlier {
  record::Evidence evidence;              ///< of the launches that are kept, and of the run as a whole
  std::set<std::uint32_t> kept;           ///< their indices
  std::vector<record::LegRow> cut_short;  ///< launches that are made again
};

/// nullopt when the folder holds no run file yet. Throws InputError when it holds one of another plan, or one
/// that cannot be read.
[[nodiscard]] std::optional<Earlier> read_earlier(const ResultsFolder& folder, const plan::Plan& plan,
                                                  const std::vector<Launch>& launches);

/// Begins a run file that holds what is kept, and a row that says that the campaign was resumed; then puts it
/// in the place of the earlier one, which stays as run.before-N.h5. Whenever it is cut short, run.h5 is one
/// of the two. Journals and logs of launches that are made again move to before-N/. Throws RunError.
[[nodiscard]] record::RunFileWriter resume_run_file(const ResultsFolder& folder, const plan::Plan& plan,
                                                    const Earlier& earlier, std::int64_t now_utc_ns);

}  // namespace lockstep::campaign
