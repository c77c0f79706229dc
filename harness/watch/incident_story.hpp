#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "harness/record/evidence.hpp"
#include "harness/watch/launch_view.hpp"
#include "harness/watch/post_mortem.hpp"

/// What an incident cost, and its story. Internal to this room.
namespace lockstep::watch {

/// `SIGKILL`; `signal 37` for one without a name.
[[nodiscard]] std::string signal_name(int signal);

/// Training steps of the leg and round that are safe: held by verified checkpoints of every rank, and those
/// that earlier attempts had saved.
[[nodiscard]] std::uint32_t steps_saved(const LaunchView& view);

/// Fills steps_lost, ranks_hit and story; cuts all texts to what the run file holds.
void tell_story(record::IncidentRow& incident, const LaunchView& view,
                const std::optional<PostMortem>& found);

}  // namespace lockstep::watch
