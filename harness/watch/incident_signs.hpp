#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "harness/record/evidence.hpp"
#include "harness/watch/launch_facts.hpp"
#include "harness/watch/launch_view.hpp"

/// What single signs of trouble say. Internal to this room.
namespace lockstep::watch {

/// Whether the row says that data were wrong, reduced or computed: that is no word about how the launch
/// ended.
[[nodiscard]] bool tells_of_data(const record::FailureRow& row);

/// Whole rows for reduced data that were wrong, by first step: one for all steps in which the same ranks
/// were. Eight at most: the last one then takes all further steps, whichever ranks were wrong in them.
[[nodiscard]] std::vector<record::IncidentRow> find_wrong_data(const LaunchView& view,
                                                               const LaunchFacts& facts);

/// Marks ends as asked for that a launcher's own SIGTERM and SIGKILL explain: it sends them to all others
/// once one rank has ended with an error. Such a death is a cause only when it came before those errors, and
/// SIGTERM only when nobody died of anything else.
void mark_signals_of_launcher(std::vector<RankEnd>& ends);

/// Ranks that died by themselves, and not of others, the first in time first; those whose time is not known
/// last.
[[nodiscard]] std::vector<std::uint32_t> deaths(const LaunchView& view, const LaunchFacts& facts);

/// Fills kind and cause from how a process ended. `who`: as it is called; `several`: more than one rank;
/// `stepped`: some rank had completed a step.
void name_death(record::IncidentRow& row, const RankEnd& end, const std::string& who, bool several,
                bool stepped);

/// The last stamps of these hosts are near each other, as far as there are any.
[[nodiscard]] bool lost_at_once(const LaunchView& view, const std::set<std::string>& hosts);

}  // namespace lockstep::watch
