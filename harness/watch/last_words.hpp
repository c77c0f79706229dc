#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "harness/watch/launch_view.hpp"

/// How far the ranks of a launch came, and who told of its end. Internal to this room.
namespace lockstep::watch {

[[nodiscard]] bool left_a_journal(const LaunchView& view, std::uint32_t rank);
/// Steps completed, by rank.
[[nodiscard]] std::vector<std::uint32_t> completed_by_rank(const LaunchView& view);

/// Pairs of sites (`A - B`) between which the last probes, at least two each way, were not answered, where
/// some were sent after `since_ns` on the common clock.
[[nodiscard]] std::vector<std::string> dead_links(const LaunchView& view, std::int64_t since_ns);

/// Ranks that neither completed the launch nor told why they ended, ascending.
[[nodiscard]] std::vector<std::uint32_t> silent_ranks(const LaunchView& view);

/// Steps that every rank with a journal completed, from the launch's first on.
[[nodiscard]] std::uint32_t steps_completed(const LaunchView& view);

}  // namespace lockstep::watch
