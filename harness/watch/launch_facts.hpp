#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace lockstep::watch {

enum class RankEndKind {
  unknown,
  running,  ///< still there when it was looked at last
  stopped,  ///< there, and stopped by a signal (state T)
  exited,
  killed,  ///< by a signal
};

/// How the process of one rank ended, as somebody beside it saw it.
struct RankEnd {
  RankEndKind kind = RankEndKind::unknown;
  int code = 0;                ///< exit code, or number of the signal
  std::int64_t utc_ns = 0;     ///< when it was seen; 0: not known
  bool on_request = false;     ///< the signal came from this run: from mpirun or the controller
  bool out_of_memory = false;  ///< the kernel's counters of memory shortage had risen
  bool disk_full = false;      ///< its folder had no room left
};

/// What the controller knows of a launch besides its evidence. Everything may be missing.
struct LaunchFacts {
  std::optional<int> exit_status{};    ///< of the launcher, as a shell gives it
  std::vector<RankEnd> ranks{};        ///< by rank; empty when nothing is known of any
  std::set<std::string> lost_hosts{};  ///< did not answer at the end; names as in RankRow::host
  std::string overdue_phase{};         ///< the controller ended the launch while it was in this phase
  bool interrupted = false;            ///< a person or the batch system ended it
  std::int64_t detected_utc_ns = 0;    ///< when the controller knew that something was wrong; 0: not known
};

}  // namespace lockstep::watch
