#include "harness/watch/critical_path.hpp"

#include <algorithm>
#include <charconv>

#include "harness/core/text.hpp"
#include "harness/stats/stall.hpp"

namespace lockstep::watch {
namespace {

/// Of an op's own time: less waiting than this is none.
constexpr double kNoWait = 0.05;

std::optional<std::uint32_t> number(std::string_view text) {
  std::uint32_t value = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || stop != text.data() + text.size())
    return std::nullopt;
  return value;
}

}  // namespace

StampedSteps::StampedSteps(const LaunchView& view)
    : view_(view), ops_(static_cast<std::uint32_t>(view.graph.size())), waits_for_(view.graph.size()) {
  std::optional<std::uint32_t> computed;
  for (std::uint32_t op = 0; op < ops_; ++op) {
    if (view.graph[op] == nullptr)
      return;
    for (const std::string& entry : split(view.graph[op]->after, ',')) {
      if (const auto other = number(trim(entry)); other && *other < op)
        waits_for_[op].push_back(*other);
    }
    if (view.is_communication(op))
      continue;
    if (computed)
      waits_for_[op].push_back(*computed);
    computed = op;
  }
  for (std::size_t begin = 0; begin < view.ops.size() && ops_ > 0;) {
    const std::uint32_t index = view.ops[begin]->step;
    Step step(view.rank_count() * std::size_t{ops_});
    std::size_t found = 0;
    for (; begin < view.ops.size() && view.ops[begin]->step == index; ++begin) {
      const record::OpRow& row = *view.ops[begin];
      if (row.op >= ops_ || row.end_ns == 0)
        continue;
      step[row.rank * std::size_t{ops_} + row.op] = {row.begin_ns, row.end_ns};
      ++found;
    }
    if (found == step.size())
      steps_.emplace(index, std::move(step));
  }
}

std::int64_t StampedSteps::moving_ns(const Step& step, std::uint32_t rank, std::uint32_t op) const {
  std::int64_t shortest_ns = INT64_MAX;
  for (const std::uint32_t other : view_.part_of(op, rank)) {
    const Stamp& of_other = stamp(step, other, op);
    shortest_ns = std::min(shortest_ns, of_other.end_ns - of_other.begin_ns);
  }
  return shortest_ns;
}

std::optional<std::uint32_t> StampedSteps::awaited(const Step& step, std::uint32_t rank,
                                                   std::uint32_t op) const {
  std::optional<std::uint32_t> latest;
  for (const std::uint32_t other : waits_for_[op]) {
    if (!latest || stamp(step, rank, other).end_ns > stamp(step, rank, *latest).end_ns)
      latest = other;
  }
  return latest;
}

std::int64_t StampedSteps::delay_ns(std::uint32_t index, const Step& step, std::uint32_t rank,
                                    std::uint32_t op) const {
  std::int64_t could_ns = stamp(step, rank, op).begin_ns;
  if (const auto other = awaited(step, rank, op)) {
    could_ns = stamp(step, rank, *other).end_ns;
  } else {
    for (const record::StepRow* row : view_.steps_of(index)) {
      if (row->rank == rank)
        could_ns = row->begin_ns;
    }
  }
  return std::max<std::int64_t>(0, stamp(step, rank, op).begin_ns - could_ns);
}

std::int64_t StampedSteps::length_ns(std::uint32_t index, const Step& step,
                                     const PathElement& element) const {
  const Stamp& own = stamp(step, element.rank, element.op);
  switch (element.part) {
    case PathPart::work:
      return own.end_ns - own.begin_ns;
    case PathPart::moving:
      return moving_ns(step, element.rank, element.op);
    case PathPart::delay:
      return delay_ns(index, step, element.rank, element.op);
  }
  return 0;
}

void StampedSteps::compare(std::uint32_t index, std::vector<PathElement>& path) const {
  for (PathElement& element : path) {
    std::vector<double> elsewhere;
    for (const auto& [other, step] : steps_) {
      if (other != index)
        elsewhere.push_back(static_cast<double>(length_ns(other, step, element)));
    }
    element.extra_ns = element.length_ns - static_cast<std::int64_t>(stats::median(elsewhere));
  }
}

std::optional<std::vector<PathElement>> StampedSteps::critical_path(std::uint32_t index,
                                                                    std::uint32_t longest) const {
  const auto found = steps_.find(index);
  if (found == steps_.end() || steps_.size() < 2 || longest >= view_.rank_count())
    return std::nullopt;
  const Step& step = found->second;
  std::uint32_t rank = longest;
  std::optional<std::uint32_t> op;
  for (std::uint32_t i = 0; i < ops_; ++i) {
    if (!op || stamp(step, rank, i).end_ns > stamp(step, rank, *op).end_ns)
      op = i;
  }
  std::vector<PathElement> path;
  while (op) {  // each turn goes to an op with a smaller index
    PathElement element{.rank = rank, .op = *op, .part = PathPart::work, .length_ns = 0, .extra_ns = 0};
    if (view_.is_communication(*op)) {
      element.part = PathPart::moving;
      const Stamp& own = stamp(step, rank, *op);
      const std::int64_t own_ns = own.end_ns - own.begin_ns;
      const std::int64_t waited_ns = own_ns - moving_ns(step, rank, *op);
      if (static_cast<double>(waited_ns) > kNoWait * static_cast<double>(own_ns)) {
        for (const std::uint32_t other : view_.part_of(*op, rank)) {
          const Stamp& its = stamp(step, other, *op);
          if (its.end_ns - its.begin_ns == own_ns - waited_ns)
            rank = other;
        }
        element.rank = rank;
      }
    }
    element.length_ns = length_ns(index, step, element);
    path.push_back(element);
    element.part = PathPart::delay;
    element.length_ns = length_ns(index, step, element);
    path.push_back(element);
    op = awaited(step, rank, *op);
  }
  std::reverse(path.begin(), path.end());
  compare(index, path);
  return path;
}

}  // namespace lockstep::watch
