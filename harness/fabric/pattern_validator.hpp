#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "harness/core/ids.hpp"
#include "harness/step/backends.hpp"
#include "harness/step/graph.hpp"
#include "harness/step/validator.hpp"

namespace lockstep::fabric {

/// Checks communications of every kind by the known pattern (see pattern.hpp). f32 and f64; a barrier has
/// nothing to check.
///
/// `samples` elements of each result are checked, or all of a shorter one. Where data are cut into blocks,
/// one a rank (reduce_scatter, all_gather, all_to_all), the samples are shared out among the blocks, at least
/// one in each.
///
/// The checksum is of the observed values where every rank ends with the same data (all_reduce, all_gather,
/// broadcast), and of their distance from the expected ones where each ends with data of its own
/// (reduce_scatter, all_to_all, send_recv): right data give equal checksums on all ranks in either case. It
/// is never 0.
///
/// Buffers may be on a device; each element is then copied by itself.
///
/// Nothing is allocated after construction. Both functions may be called from different threads.
class PatternValidator final : public step::Validator {
 public:
  /// `graph` must outlive it and have at most kMostRanks ranks in a part.
  PatternValidator(const step::StepGraph& graph, RankId self, std::uint32_t samples);

  void plant(std::uint32_t step, std::uint32_t comm_index, const step::Comm& comm,
             step::BufferSet& buffers) override;
  [[nodiscard]] step::ValidationResult check(std::uint32_t step, std::uint32_t comm_index,
                                             const step::Comm& comm, step::BufferSet& buffers) override;
  /// An element of the result that check() looks at. `comm` is no barrier.
  [[nodiscard]] std::uint64_t first_sample(std::uint32_t step, std::uint32_t comm_index,
                                           const step::Comm& comm) const;

 private:
  /// This rank's part of a group.
  struct Membership {
    std::span<const RankId> ranks;
    std::uint64_t position = 0;
  };
  [[nodiscard]] std::uint64_t samples_of(std::uint64_t elements, std::uint64_t blocks) const;

  const step::StepGraph& graph_;
  RankId self_;
  std::uint32_t samples_;
  std::vector<Membership> memberships_;  // by GroupId; without ranks for a group that no op uses
};

}  // namespace lockstep::fabric
