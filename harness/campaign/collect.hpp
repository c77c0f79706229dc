#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "harness/campaign/results_folder.hpp"

namespace lockstep::campaign {

/// What was brought together after the event.
struct Collected {
  std::vector<std::string> merged;  ///< launches whose journals were merged, `joint (round 1, attempt 1)`
  std::vector<std::string>
      missing;            ///< ranks of which there is still no journal, `rank 4 of joint (round 1, ...)`
  bool replaced = false;  ///< run.h5 was written anew
};

/// Merges journals that were not there, or could not be read, when their launch ended: of ranks and hosts
/// that were lost and have come back, and of a launch whose controller was killed. `journals_from` (empty:
/// nowhere) is a folder like `journals/`, brought from elsewhere: what is in it and not yet here is copied
/// first.
///
/// The new run.h5 has the other launches as they were, and takes the place of the old one, which stays as
/// run.before-N.h5; a certificate of the old one is removed. A file that its writer left open is written anew
/// in any case, so it opens like any other. Throws InputError when there is no run here, RunError when it
/// cannot be written.
[[nodiscard]] Collected collect_evidence(const ResultsFolder& folder, const std::string& journals_from,
                                         std::int64_t now_utc_ns);

/// Writes a run file anew with all rows that can be read in it: for one whose writer was killed. `path` stays
/// as `kept_path`. Throws InputError and RunError.
void recover_run_file(const std::string& path, const std::string& kept_path);

}  // namespace lockstep::campaign
