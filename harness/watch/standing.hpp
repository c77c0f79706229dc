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

/// The same from outside, while the rank runs or when it is dead. Not every moment is caught whole: what is
/// stored meanwhile may show or not.
[[nodiscard]] Standing where_it_stands(const record::JournalReader& journal, std::uint32_t step);

struct RankStanding {
  std::uint32_t rank = 0;
  std::string host;
  Standing standing;
};
/// Whom a step is waiting for, by the standings of the ranks that can be seen; all of one step. The root is
/// the first communication, in the graph's order, that somebody waits in: ranks enter them in that order.
/// `ranks` may be a part of the group only; it is said then how many that are.
/// `2 of 3 ranks wait in bucket3.all_reduce for rank 1 on b1 (computing layer7.up)`; empty when all are
/// through.
[[nodiscard]] std::string who_holds_up(const std::vector<RankStanding>& ranks);

/// `step 7: waiting in bucket2.all_reduce for 31.2 s, for ranks 2-3; computing layer1.up for 4.0 s`
[[nodiscard]] std::string describe(const Standing& standing, std::int64_t now_ns);

}  // namespace lockstep::watch
