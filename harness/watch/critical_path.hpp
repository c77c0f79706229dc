#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "harness/watch/launch_view.hpp"

/// The chain of ops, over all ranks, that a step's length is made of. Internal to this room.
namespace lockstep::watch {

enum class PathPart {
  work,    ///< a compute op ran
  moving,  ///< a communication that every rank had joined
  delay,   ///< an op could begin and had not begun yet
};

struct PathElement {
  std::uint32_t rank = 0;
  std::uint32_t op = 0;
  PathPart part = PathPart::work;
  std::int64_t length_ns = 0;
  std::int64_t extra_ns = 0;  ///< beyond the same in the other steps that have stamps; may be below 0
};

/// Stamps of all ops exist for the last steps of a launch only.
class StampedSteps {
 public:
  explicit StampedSteps(const LaunchView& view);

  /// Walks from the last op of the rank that took longest back to the begin of the step: along what an op
  /// waited for, and from a communication that was waited in to the rank that entered it last (by the
  /// shortest time, without a common clock). First element: the earliest. nullopt when some op of some rank
  /// has no stamp in that step, or no other step has stamps to compare with.
  [[nodiscard]] std::optional<std::vector<PathElement>> critical_path(std::uint32_t step,
                                                                      std::uint32_t longest) const;

 private:
  struct Stamp {
    std::int64_t begin_ns = 0;
    std::int64_t end_ns = 0;
  };
  using Step = std::vector<Stamp>;  // by rank, then op

  [[nodiscard]] const Stamp& stamp(const Step& step, std::uint32_t rank, std::uint32_t op) const {
    return step[rank * std::size_t{ops_} + op];
  }
  [[nodiscard]] std::int64_t moving_ns(const Step& step, std::uint32_t rank, std::uint32_t op) const;
  /// The op that ended last of those that `op` has to wait for; nullopt for the first.
  [[nodiscard]] std::optional<std::uint32_t> awaited(const Step& step, std::uint32_t rank,
                                                     std::uint32_t op) const;
  [[nodiscard]] std::int64_t delay_ns(std::uint32_t index, const Step& step, std::uint32_t rank,
                                      std::uint32_t op) const;
  [[nodiscard]] std::int64_t length_ns(std::uint32_t index, const Step& step,
                                       const PathElement& element) const;
  void compare(std::uint32_t index, std::vector<PathElement>& path) const;

  const LaunchView& view_;
  std::uint32_t ops_ = 0;
  std::vector<std::vector<std::uint32_t>> waits_for_;  // by op; its stream's order included
  std::map<std::uint32_t, Step> steps_;                // whole ones
};

}  // namespace lockstep::watch
