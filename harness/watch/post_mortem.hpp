#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "harness/watch/launch_facts.hpp"
#include "harness/watch/launch_view.hpp"

namespace lockstep::watch {

/// Where a launch stood when it went no further.
struct PostMortem {
  enum class Verdict {
    somebody_missing,  ///< some ranks entered the communication, others never did
    transport,         ///< all of its ranks entered it, and it did not complete on some
    nobody_began,      ///< no rank waits for another
  };
  Verdict verdict = Verdict::nobody_began;
  std::uint32_t step = 0;
  std::int32_t op = -1;                ///< the first communication that did not complete; -1: none was begun
  std::vector<std::uint32_t> group;    ///< ranks that have to take part in it
  std::vector<std::uint32_t> waiting;  ///< entered it, and did not complete it
  std::vector<std::uint32_t> missing;  ///< never entered it
  /// Entered it, and stood still within it by all that is known: stopped, or silent when the others told that
  /// their deadline had passed.
  std::vector<std::uint32_t> held_up;
  std::optional<double> waited_s;  ///< by the first of those that wait, until the end was known
  std::int64_t began_utc_ns = 0;   ///< the first of them entered it; 0: not known
  std::string culprit;             ///< as in IncidentRow; empty when unknown
  bool link_dead = false;          ///< probes between the culprit's sites were all lost
  double confidence = 0.0;         ///< that the culprit is right
  std::string symptom;             ///< one line
  std::string paragraph;           ///< who waited for whom, where, and what those did
};

/// Of a launch that did not end well. The first communication, in the graph's order within the earliest step,
/// that some rank entered and did not complete. nullopt when the launch completed, or took no step at all.
[[nodiscard]] std::optional<PostMortem> post_mortem(const LaunchView& view, const LaunchFacts& facts = {});

}  // namespace lockstep::watch
