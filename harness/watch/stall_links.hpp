#pragma once

#include <string>
#include <vector>

#include "harness/watch/launch_view.hpp"
#include "harness/watch/step_parts.hpp"

/// What the small packets between sites told of the links while a step ran. Internal to this room.
namespace lockstep::watch {

struct LinkSuspicion {
  bool asked = false;  ///< packets were sent between sites while the step ran
  /// `A - B`, `A -> B` when one way alone suffered, or `site B` when all of its links and no other did; else
  /// empty
  std::string culprit;
  std::string why;        ///< figures of the link that suffered most; empty when none did
  std::size_t links = 0;  ///< that suffered
};

/// Compares each pair of sites in that step with the rest of the launch: packets lost, and round trips.
/// `extra_ns`: what the step is longer than usual. `before_ns`: so much before its begin counts with it.
[[nodiscard]] LinkSuspicion suspect_links(const LaunchView& view, std::uint32_t step, std::int64_t before_ns,
                                          double extra_ns);

}  // namespace lockstep::watch
