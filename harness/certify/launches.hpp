#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "harness/record/evidence.hpp"

/// Evidence sorted by launch. Internal to this room. Everything here points into the Evidence that it was
/// made from, which must outlive it.
namespace lockstep::certify {

/// A step that every rank of the launch completed, on the clock common to its ranks.
struct JudgedStep {
  std::uint32_t step = 0;
  bool steady = false;         ///< no rank flagged it as warm-up
  std::int64_t begin_ns = 0;   ///< the step before it was done on its last rank; without one, and after a
                               ///< checkpoint: latest begin
  std::int64_t end_ns = 0;     ///< the last rank is done
  std::int64_t paused_ns = 0;  ///< before begin_ns, for a checkpoint
  std::vector<const record::StepRow*> rows;  ///< by rank
  [[nodiscard]] double time_s() const { return static_cast<double>(end_ns - begin_ns) / 1e9; }
};

struct Launch {
  const record::LegRow* leg = nullptr;
  const record::LegEndRow* end = nullptr;  ///< nullptr: cut short
  std::vector<const record::RankRow*> ranks;
  std::vector<const record::GraphRow*> graph;
  std::vector<const record::CommRow*> comms;  ///< completed ones, by step, op, rank
  std::vector<JudgedStep> steps;              ///< ascending
  std::int64_t clock_bound_ns = 0;            ///< largest of any rank
  std::size_t least_clock_rows = 0;           ///< of any rank
  std::vector<std::string> defects;           ///< rows that contradict each other

  [[nodiscard]] bool completed() const { return end != nullptr && end->outcome == "completed"; }
  [[nodiscard]] std::vector<double> steady_times_s() const;
};

/// All launches of the leg named `name` in one round, in order of attempts.
struct Round {
  std::uint32_t round = 0;
  std::vector<const Launch*> attempts;
  [[nodiscard]] bool completed() const { return !attempts.empty() && attempts.back()->completed(); }
  /// Steady steps of all attempts, one after the other, in seconds.
  [[nodiscard]] std::vector<double> steady_times_s() const;
};

[[nodiscard]] std::vector<Launch> collect_launches(const record::Evidence& evidence);
[[nodiscard]] std::vector<Round> rounds_of(const std::vector<Launch>& launches, const std::string& name);

}  // namespace lockstep::certify
