#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "harness/record/journal.hpp"

namespace lockstep::watch {

/// An op of a step that this rank has begun and not ended.
struct OpUnderWay {
  std::uint32_t op = 0;  ///< index in the graph
  std::string name;
  std::int64_t since_ns = 0;
  std::vector<std::uint32_t> awaited;  ///< ranks of its group but this one; empty for compute
  bool operator==(const OpUnderWay&) const = default;
};

/// Where a rank is within a step. All times ns on the rank's CLOCK_MONOTONIC.
struct Standing {
  std::uint32_t step = 0;
  std::int64_t begun_ns = 0;              ///< of the step; 0: it was not begun
  bool ended = false;                     ///< the step is complete
  std::optional<OpUnderWay> computing{};  ///< at most one: computing goes in order
  std::vector<OpUnderWay> waiting{};      ///< communications, the first begun first
  std::optional<std::uint32_t> next{};    ///< first communication of the step that it has not entered
  std::string next_name{};
  /// What holds the rank up, as far as it can tell itself: the op under way since longest, or `next`.
  [[nodiscard]] std::optional<std::uint32_t> op() const;
};

/// From the journal's own memory: works while every other thread of the rank is stuck. Sharp edge: it
/// allocates.
[[nodiscard]] Standing where_it_stands(const record::RankMeta& meta, const step::Recording& recording,
                                       std::uint32_t step);

/// `step 7: waiting in bucket2.all_reduce for 31.2 s, for ranks 2-3; computing layer1.up for 4.0 s`
[[nodiscard]] std::string describe(const Standing& standing, std::int64_t now_ns);

}  // namespace lockstep::watch
