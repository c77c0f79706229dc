#include "harness/fabric/pattern.hpp"

#include <set>
#include <vector>

#include <gtest/gtest.h>

namespace lockstep::fabric {
namespace {

std::vector<RankId> ranks_from(std::uint32_t first, std::uint32_t count, std::uint32_t stride = 1) {
  std::vector<RankId> ranks;
  for (std::uint32_t i = 0; i < count; ++i)
    ranks.emplace_back(first + i * stride);
  return ranks;
}

TEST(Pattern, ClosedSumIsTheBruteForceSum) {
  for (const std::uint32_t step : {0U, 1U, 77U, 4'000'000'000U}) {
    for (const std::uint32_t count : {1U, 2U, 7U, 8U, 9U, 1000U}) {
      const Pattern pattern(step, step % 5);
      const std::vector<RankId> ranks = ranks_from(step % 13, count, 3);
      for (const std::uint64_t element : {std::uint64_t{0}, std::uint64_t{12345}, std::uint64_t{1} << 40}) {
        std::uint64_t sum = 0;
        for (const RankId rank : ranks)
          sum += pattern.value(rank, element);
        EXPECT_EQ(pattern.sum(ranks, element), sum) << "step " << step << ", " << count << " ranks";
      }
    }
  }
}

TEST(Pattern, SumInFp32IsExactInEveryOrderAtAMillionRanks) {
  static_assert(kMostRanks >= 1'000'000);
  static_assert(kMostRanks * kMostPatternValue < (1U << 24));
  const Pattern pattern(3, 1);
  const std::vector<RankId> ranks = ranks_from(0, 1'000'000);
  float forwards = 0.0F;
  float backwards = 0.0F;
  std::vector<float> tree(ranks.size());
  for (std::size_t i = 0; i < ranks.size(); ++i) {
    const auto value = static_cast<float>(pattern.value(ranks[i], 99));
    ASSERT_LE(value, static_cast<float>(kMostPatternValue));
    forwards += value;
    backwards += static_cast<float>(pattern.value(ranks[ranks.size() - 1 - i], 99));
    tree[i] = value;
  }
  for (std::size_t width = tree.size(); width > 1; width = (width + 1) / 2) {
    for (std::size_t i = 0; i < width / 2; ++i)
      tree[i] += tree[width - 1 - i];
  }
  const auto exact = static_cast<double>(pattern.sum(ranks, 99));
  EXPECT_EQ(static_cast<double>(forwards), exact);
  EXPECT_EQ(static_cast<double>(backwards), exact);
  EXPECT_EQ(static_cast<double>(tree[0]), exact);
}

TEST(Pattern, SamplesAreSpreadDistinctAndInside) {
  for (const std::uint64_t elements :
       {std::uint64_t{256}, std::uint64_t{257}, std::uint64_t{1000}, (std::uint64_t{1} << 45) + 7}) {
    const Pattern pattern(11, 2);
    std::uint64_t previous = 0;
    for (std::uint64_t i = 0; i < 256; ++i) {
      const std::uint64_t position = pattern.position(i, 256, elements);
      ASSERT_LT(position, elements);
      if (i > 0) {
        ASSERT_GT(position, previous);
      }
      // Inside its own 256th, give or take the rounding of one element.
      const double share = static_cast<double>(position) / static_cast<double>(elements) * 256;
      ASSERT_GE(share, static_cast<double>(i) - 256.0 / static_cast<double>(elements));
      ASSERT_LT(share, static_cast<double>(i) + 1);
      previous = position;
    }
  }
}

TEST(Pattern, SamplesEverythingWhenThereIsLittle) {
  const Pattern pattern(1, 0);
  for (std::uint64_t i = 0; i < 10; ++i)
    EXPECT_EQ(pattern.position(i, 10, 10), i);
}

TEST(Pattern, PositionsMoveFromStepToStepAndComeBackTheSame) {
  std::set<std::uint64_t> seen;
  for (std::uint32_t step = 0; step < 100; ++step) {
    seen.insert(Pattern(step, 0).position(5, 16, 1'000'000));
    EXPECT_EQ(Pattern(step, 0).position(5, 16, 1'000'000), Pattern(step, 0).position(5, 16, 1'000'000));
  }
  EXPECT_GT(seen.size(), 95U);
}

TEST(Pattern, DiffersByStepOpElementAndRank) {
  // Each neighbour must differ in about 7 of 8 places; half of them is far outside chance for 512 places.
  int by_step = 0;
  int by_op = 0;
  int by_element = 0;
  int by_rank = 0;
  for (std::uint32_t i = 0; i < 512; ++i) {
    const auto base = Pattern(i, 1).value(RankId(3), 1000);
    by_step += base != Pattern(i + 1, 1).value(RankId(3), 1000) ? 1 : 0;
    by_op += base != Pattern(i, 2).value(RankId(3), 1000) ? 1 : 0;
    by_element += base != Pattern(i, 1).value(RankId(3), 1001) ? 1 : 0;
    by_rank += base != Pattern(i, 1).value(RankId(11), 1000) ? 1 : 0;
  }
  for (const int differing : {by_step, by_op, by_element, by_rank})
    EXPECT_GT(differing, 400);
}

}  // namespace
}  // namespace lockstep::fabric
