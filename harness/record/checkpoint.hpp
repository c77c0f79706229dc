#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <system_error>

#include "harness/record/evidence.hpp"

/// Checkpoints on disk: synthetic contents of the size and in the manner of a training job's.
///
///   <folder>/checkpoint-LEG-rROUND/step-N/rank-R.part   one for each rank that saved
///   <folder>/checkpoint-LEG-rROUND/step-N/complete      when every rank had saved: only then it counts
namespace lockstep::record {

/// `checkpoint-joint-r0`
[[nodiscard]] std::string checkpoint_folder_name(const LegRow& leg);
/// `step-50`; `step` counts training steps that it holds.
[[nodiscard]] std::string checkpoint_step_name(std::uint32_t step);
/// `rank-00003.part`
[[nodiscard]] std::string checkpoint_part_name(std::uint32_t rank);

/// A checkpoint that every rank has saved.
struct CompleteCheckpoint {
  std::uint32_t step = 0;
  std::uint32_t ranks = 0;
  bool operator==(const CompleteCheckpoint&) const = default;
};
/// Writes the marker into `folder`/step-N. Throws RunError.
void mark_complete(const std::string& folder, const CompleteCheckpoint& checkpoint);
/// `folder` is one leg's and round's. nullopt when that step was never completed, or its marker is damaged.
[[nodiscard]] std::optional<CompleteCheckpoint> complete_checkpoint(const std::string& folder,
                                                                    std::uint32_t step);
/// The newest one; nullopt when there is none.
[[nodiscard]] std::optional<CompleteCheckpoint> latest_checkpoint(const std::string& folder);
/// Removes every step below `step`. What cannot be removed stays.
void remove_checkpoints_before(const std::string& folder, std::uint32_t step) noexcept;

/// One rank's share.
struct CheckpointPart {
  std::uint32_t step = 0;
  std::uint32_t rank = 0;
  std::uint64_t bytes = 0;
  std::uint64_t checksum = 0;
  bool verified = false;  ///< what was read is what was written
};
/// Writes seeded contents, flushes them to the file system, and reads them back from there. Throws
/// std::system_error with the errno of the write that failed; nothing is left of the file then.
[[nodiscard]] CheckpointPart write_checkpoint_part(const std::string& path, std::uint32_t step,
                                                   std::uint32_t rank, std::uint64_t bytes);
/// Reads a part and compares its contents with its own checksum. Throws std::system_error when it cannot be
/// read, RunError when it is none.
[[nodiscard]] CheckpointPart read_checkpoint_part(const std::string& path);

/// Bytes of one rank's share: all shares together are `bytes`, and none is more than a byte larger than
/// another.
[[nodiscard]] std::uint64_t checkpoint_share(std::uint64_t bytes, std::uint32_t rank, std::uint32_t ranks);

}  // namespace lockstep::record
