#include "harness/compute/algorithm_search.hpp"

#include <algorithm>

namespace lockstep::compute {
namespace {

constexpr double kAlike = 1.005;

struct Candidate {
  std::size_t index = 0;
  std::vector<double> runs;
  bool failed = false;
};

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

class Search {
 public:
  Search(const MeasureCandidate& measure, double budget_s) : measure_(measure), left_s_(budget_s) {}
  [[nodiscard]] bool may_go_on() const { return left_s_ > 0.0; }
  /// False once it has failed.
  bool run(Candidate& candidate, bool counts = true) {
    const std::optional<double> seconds = measure_(candidate.index);
    candidate.failed = !seconds.has_value();
    if (!seconds)
      return false;
    left_s_ -= *seconds;
    if (counts)
      candidate.runs.push_back(*seconds);
    return true;
  }

 private:
  const MeasureCandidate& measure_;
  double left_s_;
};

}  // namespace

double SearchResult::gain() const {
  if (!best || times.empty() || times.front().index != 0 || best->seconds <= 0.0)
    return 0.0;
  return times.front().seconds / best->seconds;
}

SearchResult search_algorithm(std::size_t count, const MeasureCandidate& measure,
                              const SearchLimits& limits) {
  SearchResult result;
  Search search(measure, limits.budget_s);
  std::vector<Candidate> candidates;
  for (std::size_t index = 0; index < count; ++index) {
    if (!search.may_go_on()) {
      result.not_tried = count - index;
      break;
    }
    Candidate candidate{index, {}, false};
    bool runs = search.run(candidate, false);
    for (std::size_t i = 0; runs && i < std::max<std::size_t>(1, limits.first_runs); ++i)
      runs = search.run(candidate);
    if (candidate.failed)
      ++result.failed;
    else
      candidates.push_back(std::move(candidate));
  }
  std::vector<Candidate*> order;
  for (Candidate& candidate : candidates)
    order.push_back(&candidate);
  std::stable_sort(order.begin(), order.end(),
                   [](const Candidate* a, const Candidate* b) { return median(a->runs) < median(b->runs); });
  order.resize(std::min(order.size(), std::max<std::size_t>(1, limits.finalists)));
  for (std::size_t i = 0; order.size() > 1 && i < limits.final_runs && search.may_go_on(); ++i) {
    for (Candidate* candidate : order) {
      if (!candidate->failed)
        search.run(*candidate);
    }
  }
  for (const Candidate& candidate : candidates) {
    if (candidate.failed)
      ++result.failed;
    else
      result.times.push_back({candidate.index, median(candidate.runs), candidate.runs.size()});
  }
  double lowest = 0.0;
  const auto is_finalist = [&](const CandidateTime& time) {
    return std::any_of(order.begin(), order.end(),
                       [&](const Candidate* candidate) { return candidate->index == time.index; });
  };
  for (const CandidateTime& time : result.times) {
    if (is_finalist(time) && (lowest == 0.0 || time.seconds < lowest))
      lowest = time.seconds;
  }
  for (const CandidateTime& time : result.times) {
    if (!result.best && is_finalist(time) && time.seconds <= lowest * kAlike)
      result.best = time;
  }
  return result;
}

}  // namespace lockstep::compute
