#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <vector>

/// Which of a library's ways to compute a product is the fastest here. A heuristic's favourite need not be:
/// it knows the kind of card, not this one's clocks and memory. Pure: whoever calls does the measuring.
namespace lockstep::compute {

/// Seconds that candidate `index` takes, one run; nothing when it fails. Called once in advance for each
/// candidate, and that time is not counted.
using MeasureCandidate = std::function<std::optional<double>(std::size_t index)>;

struct CandidateTime {
  std::size_t index = 0;
  double seconds = 0.0;  ///< median of its runs
  std::size_t runs = 0;
};

struct SearchLimits {
  std::size_t first_runs = 3;  ///< of every candidate
  std::size_t final_runs =
      9;  ///< of those that are left, in turns, so that a drift of the clocks hits all alike
  std::size_t finalists = 3;
  double budget_s = 2.0;  ///< of measured time; a candidate that was begun is finished
};

struct SearchResult {
  std::optional<CandidateTime> best;  ///< nothing when every candidate failed
  std::vector<CandidateTime> times;   ///< of those that ran, by index
  std::size_t failed = 0;
  std::size_t not_tried = 0;  ///< the budget was spent
  /// Time of the heuristic's favourite (candidate 0) over that of the best; 0 when it did not run.
  [[nodiscard]] double gain() const;
};

/// Measures candidates 0 to count - 1 and takes the one with the lowest median. Among finalists within half a
/// percent the heuristic's order decides, so that noise does not pick another one in each run.
[[nodiscard]] SearchResult search_algorithm(std::size_t count, const MeasureCandidate& measure,
                                            const SearchLimits& limits = {});

}  // namespace lockstep::compute
