#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include "harness/core/hash.hpp"
#include "harness/core/ids.hpp"

/// The known pattern: what each rank puts into the sampled elements of a communication, and what must come
/// out.
///
/// Values are small integers, so that sums are exact in fp32 in whatever order they are made: a value is at
/// most 14, and 14 n < 2^24 for n up to kMostRanks. Rank r's value of element i is base(i) + term(r), both in
/// 0..7 and both different from step to step and from op to op, so a result left over from an earlier step, a
/// contribution lost or counted twice, and an element at the wrong place all show.
namespace lockstep::fabric {

constexpr std::uint32_t kPatternBase = 8;
constexpr std::uint32_t kPatternTerm = 8;
constexpr std::uint64_t kMostPatternValue = (kPatternBase - 1) + (kPatternTerm - 1);
constexpr std::uint64_t kMostRanks = ((1U << 24) - 1) / kMostPatternValue;

/// The pattern of one communication (the `comm_index`-th of the graph) in one step.
class Pattern {
 public:
  constexpr Pattern(std::uint32_t step, std::uint32_t comm_index)
      : key_(mix64((static_cast<std::uint64_t>(step) << 32) | comm_index)) {}

  /// What rank `rank` puts into element `element` of its input.
  [[nodiscard]] constexpr std::uint64_t value(RankId rank, std::uint64_t element) const {
    return base(element) + term(rank);
  }

  /// Sum of value() over `ranks`: n base(i) + sum of the terms.
  [[nodiscard]] constexpr std::uint64_t sum(std::span<const RankId> ranks, std::uint64_t element) const {
    return sum(ranks.size(), sum_of_terms(ranks), element);
  }
  /// The same when the sum of the terms, which is equal for all elements, is already known.
  [[nodiscard]] constexpr std::uint64_t sum(std::uint64_t ranks, std::uint64_t sum_of_terms,
                                            std::uint64_t element) const {
    return ranks * base(element) + sum_of_terms;
  }
  [[nodiscard]] constexpr std::uint64_t sum_of_terms(std::span<const RankId> ranks) const {
    std::uint64_t total = 0;
    for (const RankId rank : ranks)
      total += term(rank);
    return total;
  }

  /// Position of sample `index` of `samples` among `elements` elements: one in each of `samples` equal
  /// stretches, at a place drawn anew in every step. Ascending and distinct. Needs index < samples <=
  /// elements.
  [[nodiscard]] constexpr std::uint64_t position(std::uint64_t index, std::uint64_t samples,
                                                 std::uint64_t elements) const {
    const std::uint64_t first = stretch_begin(index, samples, elements);
    const std::uint64_t length = stretch_begin(index + 1, samples, elements) - first;
    return first + mix64(key_ ^ mix64(~index)) % length;
  }

 private:
  [[nodiscard]] static constexpr std::uint64_t stretch_begin(std::uint64_t index, std::uint64_t samples,
                                                             std::uint64_t elements) {
    // index * elements / samples without overflow.
    return elements / samples * index + elements % samples * index / samples;
  }
  [[nodiscard]] constexpr std::uint64_t base(std::uint64_t element) const {
    return mix64(key_ + element) % kPatternBase;
  }
  [[nodiscard]] constexpr std::uint64_t term(RankId rank) const {
    return mix64(key_ ^ mix64(rank.value())) % kPatternTerm;
  }
  std::uint64_t key_;
};

}  // namespace lockstep::fabric
