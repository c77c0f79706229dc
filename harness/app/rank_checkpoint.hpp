#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "harness/core/clock.hpp"
#include "harness/mpi/communicator.hpp"
#include "harness/plan/plan.hpp"
#include "harness/record/journal.hpp"

namespace lockstep::app {

/// Why a checkpoint could not be saved.
struct CheckpointTrouble {
  std::string kind;  ///< as FailureRow::kind; empty: another rank's trouble
  std::string message;
};

/// Where the checkpoints of a launch are: in the plan's folder, or the results folder, which is above that of
/// the journals.
[[nodiscard]] std::string checkpoint_folder(const plan::Plan& plan, const record::LegRow& leg,
                                            const std::string& journals, const std::string& results_folder);

/// Saves and loads what a training job would: parameters and optimizer state, in as many parts as there are
/// ranks, with synthetic contents. A launch of another number of ranks can load it.
class Checkpoints {
 public:
  struct Self {
    std::uint32_t leg = 0;
    std::uint32_t rank = 0;
    std::uint32_t ranks = 0;
    std::uint32_t local_rank = 0;
  };
  /// `folder`: of the leg and round. References outlive it.
  Checkpoints(const plan::Plan& plan, std::string folder, const Self& self, record::Journal& journal,
              FastClock& clock);

  /// Whether one is to be made when so many steps have been trained.
  [[nodiscard]] bool is_due(std::uint32_t trained) const;
  /// Seconds that a rank gives the next one: more where they have been seen to take long.
  [[nodiscard]] double allowed_s() const;
  /// Writes this rank's share, and lets the checkpoint count when all ranks of `leg` have. Collective.
  /// nullopt: it does. Otherwise this or another rank failed, and all ranks know. `disk_is_full`: writes fail
  /// as on a full disk (a drill). Throws mpi::DeadlineError and mpi::MpiError.
  [[nodiscard]] std::optional<CheckpointTrouble> save(std::uint32_t trained, const mpi::Communicator& leg,
                                                      bool disk_is_full);
  /// Reads this rank's share of all parts and verifies it. Throws RunError.
  void load(std::uint32_t trained);

 private:
  [[nodiscard]] std::optional<CheckpointTrouble> write_share(std::uint32_t trained, bool disk_is_full);
  [[nodiscard]] std::optional<CheckpointTrouble> mark(std::uint32_t trained) const;
  [[nodiscard]] std::string step_folder(std::uint32_t trained) const;
  void note(const char* action, std::uint32_t trained, std::uint64_t bytes, std::uint64_t checksum,
            bool verified, std::int64_t begin_ns);

  const plan::Plan& plan_;
  std::string folder_;
  Self self_;
  record::Journal& journal_;
  FastClock& clock_;
  std::uint64_t bytes_ = 0;  ///< of the whole
  std::uint32_t last_complete_ = 0;
  std::int64_t longest_ns_ = 0;
};

}  // namespace lockstep::app
