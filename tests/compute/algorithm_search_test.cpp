#include "harness/compute/algorithm_search.hpp"

#include <map>
#include <vector>

#include <gmock/gmock.h>

namespace lockstep::compute {
namespace {

/// Candidates with given times; the first run of each takes ten times as long.
class Times {
 public:
  explicit Times(std::vector<std::optional<double>> seconds) : seconds_(std::move(seconds)) {}
  std::optional<double> operator()(std::size_t index) {
    order.push_back(index);
    const bool first = runs[index]++ == 0;
    if (!seconds_[index])
      return std::nullopt;
    return first ? 10.0 * *seconds_[index] : *seconds_[index];
  }
  std::map<std::size_t, int> runs;
  std::vector<std::size_t> order;

 private:
  std::vector<std::optional<double>> seconds_;
};

TEST(AlgorithmSearch, TakesTheFastestAndSaysByHowMuch) {
  Times times({2e-3, 1.5e-3, 1e-3, 3e-3});
  const SearchResult found = search_algorithm(4, std::ref(times));
  ASSERT_TRUE(found.best);
  EXPECT_EQ(found.best->index, 2U);
  EXPECT_DOUBLE_EQ(found.best->seconds, 1e-3) << "the first run counted";
  EXPECT_DOUBLE_EQ(found.gain(), 2.0);
  EXPECT_EQ(found.times.size(), 4U);
  EXPECT_EQ(found.failed + found.not_tried, 0U);
}

TEST(AlgorithmSearch, FinalistsRunInTurns) {
  Times times({1.0e-3, 1.1e-3, 1.2e-3, 9e-3});
  static_cast<void>(search_algorithm(4, std::ref(times),
                                     {.first_runs = 1, .final_runs = 2, .finalists = 3, .budget_s = 10}));
  const std::vector<std::size_t> last(times.order.end() - 6, times.order.end());
  EXPECT_THAT(last, ::testing::ElementsAre(0, 1, 2, 0, 1, 2));
  EXPECT_EQ(times.runs[3], 2) << "warm-up and one run";
}

TEST(AlgorithmSearch, WithinHalfAPercentTheHeuristicDecides) {
  Times alike({1.003e-3, 1.0e-3});
  EXPECT_EQ(search_algorithm(2, std::ref(alike)).best->index, 0U);
  Times apart({1.01e-3, 1.0e-3});
  EXPECT_EQ(search_algorithm(2, std::ref(apart)).best->index, 1U);
}

TEST(AlgorithmSearch, CandidatesThatFailAreLeftOut) {
  Times times({std::nullopt, 2e-3, std::nullopt, 1e-3});
  const SearchResult found = search_algorithm(4, std::ref(times));
  EXPECT_EQ(found.best->index, 3U);
  EXPECT_EQ(found.failed, 2U);
  EXPECT_EQ(found.gain(), 0.0) << "the favourite did not run";
  EXPECT_EQ(times.runs[0], 1);
  Times none({std::nullopt, std::nullopt});
  EXPECT_FALSE(search_algorithm(2, std::ref(none)).best);
  EXPECT_FALSE(search_algorithm(0, std::ref(none)).best);
}

TEST(AlgorithmSearch, OneThatFailsLaterIsLeftOutToo) {
  int runs = 0;
  const auto measure = [&](std::size_t index) -> std::optional<double> {
    if (index == 0 && ++runs > 5)
      return std::nullopt;
    return index == 0 ? 1e-3 : 2e-3;
  };
  const SearchResult found = search_algorithm(2, measure);
  EXPECT_EQ(found.best->index, 1U);
  EXPECT_EQ(found.failed, 1U);
}

TEST(AlgorithmSearch, KeepsToItsBudget) {
  Times times({1.0, 0.5, 0.5, 0.5});
  const SearchResult found = search_algorithm(4, std::ref(times), {.budget_s = 5.0});
  EXPECT_EQ(found.best->index, 0U);
  EXPECT_EQ(found.not_tried, 3U);
  EXPECT_EQ(times.runs[0], 4) << "one that was begun is finished";
}

}  // namespace
}  // namespace lockstep::compute
