#include "harness/watch/step_parts.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <span>

#include "harness/stats/stall.hpp"
#include "harness/step/stamps.hpp"

namespace lockstep::watch {
namespace {

/// A figure has to leave its median by this many standard deviations before it counts at all.
constexpr double kNoiseMultiple = 3.0;

struct Interval {
  std::int64_t begin = 0;
  std::int64_t end = 0;
};

/// Time covered by any of them. Sorts.
std::int64_t covered_ns(std::vector<Interval>& intervals) {
  std::sort(intervals.begin(), intervals.end(),
            [](const Interval& a, const Interval& b) { return a.begin < b.begin; });
  std::int64_t sum = 0;
  std::int64_t until = INT64_MIN;
  for (const Interval& one : intervals) {
    const std::int64_t begin = std::max(one.begin, until);
    if (one.end > begin) {
      sum += one.end - begin;
      until = one.end;
    }
  }
  return sum;
}

/// Measures one step after the other; its buffers live as long as it does.
class StepMeasure {
 public:
  StepMeasure(const LaunchView& view, ArrivalRule rule)
      : view_(view),
        rule_(rule),
        waits_(view.rank_count()),
        lan_(view.rank_count()),
        wan_(view.rank_count()) {}

  void add_communication(StepParts& parts, std::span<const record::CommRow* const> rows) {
    for (auto* of_rank : {&waits_, &lan_, &wan_})
      for (auto& intervals : *of_rank)
        intervals.clear();
    for (std::size_t begin = 0; begin < rows.size();) {
      std::size_t end = begin;
      while (end < rows.size() && rows[end]->op == rows[begin]->op)
        ++end;
      add_op(parts, rows.subspan(begin, end - begin));
      begin = end;
    }
    for (std::uint32_t rank = 0; rank < parts.ranks.size(); ++rank) {
      parts.ranks[rank].waited_ns = covered_ns(waits_[rank]);
      parts.ranks[rank].lan_ns = covered_ns(lan_[rank]);
      parts.ranks[rank].wan_ns = covered_ns(wan_[rank]);
      parts.lan_ns = std::max(parts.lan_ns, parts.ranks[rank].lan_ns);
      parts.wan_ns = std::max(parts.wan_ns, parts.ranks[rank].wan_ns);
    }
  }

 private:
  struct Part {
    bool used = false;
    std::int64_t shortest_ns = 0;
    std::int64_t latest_ns = 0;  ///< entry, on the common clock
    std::uint32_t last = 0;
    std::int64_t moving_ns = 0;
    std::int64_t waited_ns = 0;
  };

  [[nodiscard]] std::int64_t entry_ns(const record::CommRow& row) const {
    return view_.clocks[row.rank].to_common_ns(row.begin_ns);
  }

  void add_op(StepParts& parts, std::span<const record::CommRow* const> rows) {
    const std::uint32_t op = rows.front()->op;
    if (!view_.is_communication(op))
      return;
    const GroupParts& group = view_.groups.at(view_.graph[op]->group);
    found_.assign(group.parts.size(), Part{});
    for (const record::CommRow* row : rows) {
      if (row->end_ns != 0)
        note(found_[group.of_rank[row->rank]], *row);
    }
    auto& moves = view_.spans_sites(op) ? wan_ : lan_;
    for (const record::CommRow* row : rows) {
      if (row->end_ns == 0)
        continue;
      Part& part = found_[group.of_rank[row->rank]];
      const std::int64_t waited_ns =
          rule_ == ArrivalRule::shortest_time
              ? row->end_ns - row->begin_ns - part.shortest_ns
              : std::clamp<std::int64_t>(part.latest_ns - entry_ns(*row), 0, row->end_ns - row->begin_ns);
      const std::int64_t arrived_ns = row->begin_ns + waited_ns;
      waits_[row->rank].push_back({row->begin_ns, arrived_ns});
      moves[row->rank].push_back({arrived_ns, row->end_ns});
      part.waited_ns = std::max(part.waited_ns, waited_ns);
      part.moving_ns = std::max(part.moving_ns, row->end_ns - arrived_ns);
    }
    OpParts& entry = parts.ops.emplace_back();
    entry.op = op;
    bool first = true;
    for (std::size_t i = 0; i < found_.size(); ++i) {
      const Part& part = found_[i];
      if (!part.used)
        continue;
      if (first || part.waited_ns > entry.waited_ns) {
        entry.waited_ns = part.waited_ns;
        entry.last = part.last;
      }
      if (first || part.moving_ns > entry.moving_ns) {
        entry.moving_ns = part.moving_ns;
        entry.slowest = group.parts[i].front();
      }
      first = false;
    }
  }

  void note(Part& part, const record::CommRow& row) const {
    const std::int64_t own_ns = row.end_ns - row.begin_ns;
    const std::int64_t entered_ns = entry_ns(row);
    const bool is_last =
        rule_ == ArrivalRule::shortest_time ? own_ns < part.shortest_ns : entered_ns > part.latest_ns;
    if (!part.used || is_last)
      part.last = row.rank;
    part.shortest_ns = part.used ? std::min(part.shortest_ns, own_ns) : own_ns;
    part.latest_ns = part.used ? std::max(part.latest_ns, entered_ns) : entered_ns;
    part.used = true;
  }

  const LaunchView& view_;
  ArrivalRule rule_;
  std::vector<std::vector<Interval>> waits_;  // by rank
  std::vector<std::vector<Interval>> lan_;
  std::vector<std::vector<Interval>> wan_;
  std::vector<Part> found_;
};

Usual usual(std::vector<double>& samples) {
  return {.median = stats::median(samples),
          .spread = stats::kMadToStdev * stats::median_absolute_deviation(samples)};
}

}  // namespace

std::map<std::uint32_t, std::int64_t> saving_times(const LaunchView& view) {
  std::map<std::uint32_t, std::int64_t> times;
  for (const record::CheckpointRow* row : view.checkpoints) {
    if (row->action != "save" || row->step < view.leg->first_step)
      continue;
    std::int64_t& longest_ns = times[row->step - view.leg->first_step];
    longest_ns = std::max(longest_ns, row->end_ns - row->begin_ns);
  }
  return times;
}

std::vector<StepParts> measure_steps(const LaunchView& view, ArrivalRule rule) {
  std::vector<StepParts> steps;
  StepMeasure measure(view, rule);
  std::vector<const record::StepRow*> before(view.rank_count(), nullptr);
  const std::map<std::uint32_t, std::int64_t> saves = saving_times(view);
  for (std::size_t begin = 0; begin < view.steps.size();) {
    std::size_t end = begin;
    const std::uint32_t step = view.steps[begin]->step;
    bool whole = true;
    bool steady = true;
    for (; end < view.steps.size() && view.steps[end]->step == step; ++end) {
      whole = whole && view.steps[end]->rank == end - begin;
      steady = steady && (view.steps[end]->flags & step::kStepWarmup) == 0;
    }
    whole = whole && end - begin == view.rank_count();
    if (whole && steady) {
      StepParts parts{.step = step, .ranks = std::vector<RankParts>(view.rank_count()), .ops = {}};
      for (std::size_t i = begin; i < end; ++i) {
        const record::StepRow& row = *view.steps[i];
        RankParts& rank = parts.ranks[row.rank];
        rank.length_ns = row.end_ns - row.begin_ns;
        rank.compute_ns = row.compute_ns;
        rank.other_ns = rank.length_ns - row.compute_ns - row.exposed_ns;
        const record::StepRow* earlier = before[row.rank];
        if (earlier != nullptr && earlier->step + 1 == step)
          rank.gap_ns = std::max<std::int64_t>(0, row.begin_ns - earlier->end_ns);
        if (i == begin || rank.length_ns > parts.length_ns) {
          parts.length_ns = rank.length_ns;
          parts.longest = row.rank;
          parts.begin_ns = row.begin_ns;
        }
      }
      if (const auto save = saves.find(step); save != saves.end())
        parts.saving_ns = save->second;
      measure.add_communication(parts, view.comms_of(step));
      steps.push_back(std::move(parts));
    }
    for (std::size_t i = begin; i < end; ++i)
      before[view.steps[i]->rank] = view.steps[i];
    begin = end;
  }
  return steps;
}

double Usual::beyond(std::int64_t value) const {
  const double extra = static_cast<double>(value) - median;
  return std::max(0.0, extra - kNoiseMultiple * spread);
}

UsualStep usual_step(const std::vector<StepParts>& steps, std::uint32_t ranks) {
  UsualStep usual_of;
  std::vector<double> samples;
  const auto over_steps = [&](const std::function<std::int64_t(const StepParts&)>& figure) {
    samples.clear();
    for (const StepParts& step : steps)
      samples.push_back(static_cast<double>(figure(step)));
    return usual(samples);
  };
  for (std::uint32_t rank = 0; rank < ranks; ++rank) {
    const auto of_rank = [&](std::int64_t RankParts::*part) {
      return over_steps([&](const StepParts& step) { return step.ranks[rank].*part; });
    };
    usual_of.ranks.push_back(
        {.own = over_steps([&](const StepParts& step) { return step.ranks[rank].own_ns(); }),
         .gap = of_rank(&RankParts::gap_ns),
         .compute = of_rank(&RankParts::compute_ns),
         .other = of_rank(&RankParts::other_ns),
         .waited = of_rank(&RankParts::waited_ns),
         .lan = of_rank(&RankParts::lan_ns),
         .wan = of_rank(&RankParts::wan_ns)});
  }
  std::map<std::uint32_t, std::pair<std::vector<double>, std::vector<double>>> by_op;
  for (const StepParts& step : steps) {
    for (const OpParts& op : step.ops) {
      by_op[op.op].first.push_back(static_cast<double>(op.moving_ns));
      by_op[op.op].second.push_back(static_cast<double>(op.waited_ns));
    }
  }
  for (auto& [op, both] : by_op)
    usual_of.ops[op] = {.moving = usual(both.first), .waited = usual(both.second)};
  usual_of.lan = over_steps([](const StepParts& step) { return step.lan_ns; });
  usual_of.wan = over_steps([](const StepParts& step) { return step.wan_ns; });
  return usual_of;
}

}  // namespace lockstep::watch
