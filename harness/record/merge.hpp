#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "harness/record/evidence.hpp"
#include "harness/record/journal.hpp"
#include "harness/record/run_file.hpp"

namespace lockstep::record {

/// What is found out about a launch from all of its rows together.
struct Conclusions {
  std::vector<StallRow> stalls;
  std::vector<IncidentRow> incidents;
};
/// Gets the rows of one launch, its LegEndRow among them. See watch::analyse_launch.
using Analyst = std::function<Conclusions(const Evidence& launch)>;

/// Brings the journals of one launch into the run file: step by step while it runs, the rest when it has
/// ended. A step is appended once every rank has completed it (then its waiting times are known), or at
/// finish(). Waiting times of a step that not every rank completed compare only the ranks that completed the
/// op.
///
/// The reduced data of checked steps must be the same within every part of the group `data_parallel` (of
/// `world` when there is no such group); a difference is a failure row `checksum_mismatch`, appended with its
/// step.
class LegMerger {
 public:
  /// Appends the LegRow at once. `folder` is where the ranks leave their journals; it need not exist yet.
  LegMerger(RunFileWriter& writer, const LegRow& leg, std::string folder);
  /// Appends what has become complete since the last call; flushes. Returns the least number of steps that
  /// every rank has completed. Cheap enough to be called several times a second.
  std::uint32_t poll();
  /// Every rank's journal is there and complete, as far as poll() has seen them.
  [[nodiscard]] bool is_whole() const;
  /// Appends everything else: steps that not every rank completed, op stamps, clocks, failures found in
  /// journals (and `dropped_rows` when some found no room, `graph_mismatch` when ranks ran different graphs),
  /// all ranks with their state (a rank without a usable journal is `missing`, with a failure row
  /// `missing_evidence`), and what the analyst concludes; then the LegEndRow, whose journal counts it fills
  /// in itself. An outcome `completed` turns into `failed` when a journal is missing or partial. Call it
  /// once, last.
  ///
  /// All rows of the launch are in memory for the analyst: about 60 bytes a step, rank and communication.
  LegEndRow finish(LegEndRow end, const Analyst& analyst = {});

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace lockstep::record
