#include "harness/watch/standing.hpp"

#include <algorithm>
#include <atomic>
#include <string_view>

#include <fmt/format.h>

#include "harness/core/text.hpp"
#include "harness/core/units.hpp"

namespace lockstep::watch {
namespace {

/// Another thread may be storing.
std::int64_t look(std::int64_t& field) {
  return std::atomic_ref<std::int64_t>(field).load(std::memory_order_acquire);
}

bool is_communication(const record::GraphRow& op) {
  return op.stream == "communication";
}

std::vector<std::uint32_t> others_of(const record::RankMeta& meta, const std::string& group) {
  std::vector<std::uint32_t> others;
  const auto part = meta.parts.find(group);
  if (part == meta.parts.end())
    return others;
  std::copy_if(part->second.begin(), part->second.end(), std::back_inserter(others),
               [&meta](std::uint32_t rank) { return rank != meta.rank.rank; });
  return others;
}

/// `ranks 0, 2-5`, cut where there are very many runs.
std::string name_ranks(const std::vector<std::uint32_t>& ascending) {
  constexpr std::size_t kMostRuns = 16;
  std::vector<std::string> runs;
  for (std::size_t i = 0; i < ascending.size();) {
    std::size_t last = i;
    while (last + 1 < ascending.size() && ascending[last + 1] == ascending[last] + 1)
      ++last;
    if (runs.size() == kMostRuns) {
      runs.push_back(fmt::format("and {} more", ascending.size() - i));
      break;
    }
    runs.push_back(last == i ? fmt::format("{}", ascending[i])
                             : fmt::format("{}-{}", ascending[i], ascending[last]));
    i = last + 1;
  }
  return fmt::format("rank{} {}", ascending.size() == 1 ? "" : "s", join(runs, ", "));
}

}  // namespace

std::optional<std::uint32_t> Standing::op() const {
  if (computing && (waiting.empty() || computing->since_ns <= waiting.front().since_ns))
    return computing->op;
  if (!waiting.empty())
    return waiting.front().op;
  return next;
}

Standing where_it_stands(const record::RankMeta& meta, const step::Recording& recording, std::uint32_t step) {
  Standing standing;
  standing.step = step;
  if (step >= recording.steps.size() || recording.ops.empty())
    return standing;
  standing.begun_ns = look(recording.steps[step].begin_ns);
  standing.ended = look(recording.steps[step].end_ns) != 0;
  if (standing.begun_ns == 0 || standing.ended)
    return standing;
  std::size_t comm_index = 0;
  for (std::uint32_t op = 0; op < meta.graph.size(); ++op) {
    const record::GraphRow& row = meta.graph[op];
    if (!is_communication(row)) {
      step::OpStamp& stamp = recording.op(step, op);
      const std::int64_t begin_ns = look(stamp.begin_ns);
      if (begin_ns != 0 && stamp.step == step && look(stamp.end_ns) == 0)
        standing.computing = OpUnderWay{op, row.name, begin_ns, {}};
      continue;
    }
    step::CommStamp& stamp = recording.comm(step, comm_index++);
    const std::int64_t begin_ns = look(stamp.begin_ns);
    if (begin_ns == 0) {
      if (!standing.next) {
        standing.next = op;
        standing.next_name = row.name;
      }
    } else if (look(stamp.end_ns) == 0) {
      standing.waiting.push_back({op, row.name, begin_ns, others_of(meta, row.group)});
    }
  }
  std::sort(standing.waiting.begin(), standing.waiting.end(),
            [](const OpUnderWay& a, const OpUnderWay& b) { return a.since_ns < b.since_ns; });
  return standing;
}

std::string describe(const Standing& standing, std::int64_t now_ns) {
  constexpr std::size_t kMostNamed = 3;
  if (standing.begun_ns == 0)
    return fmt::format("before step {}", standing.step);
  if (standing.ended)
    return fmt::format("after step {}", standing.step);
  std::vector<std::string> parts;
  const auto seconds = [now_ns](std::int64_t since_ns) { return seconds_from_ns(now_ns - since_ns); };
  const auto compute = [&] {
    parts.push_back(fmt::format("computing {} for {:.1f} s", standing.computing->name,
                                seconds(standing.computing->since_ns)));
  };
  const bool compute_first = standing.computing && standing.op() == standing.computing->op;
  if (compute_first)
    compute();
  for (std::size_t i = 0; i < standing.waiting.size(); ++i) {
    const OpUnderWay& entry = standing.waiting[i];
    if (i == kMostNamed) {
      parts.push_back(fmt::format("and in {} more", standing.waiting.size() - i));
      break;
    }
    parts.push_back(fmt::format("waiting in {} for {:.1f} s{}", entry.name, seconds(entry.since_ns),
                                entry.awaited.empty() ? "" : ", for " + name_ranks(entry.awaited)));
  }
  if (standing.computing && !compute_first)
    compute();
  if (parts.empty()) {
    parts.push_back(fmt::format("between ops, {:.1f} s after its begin", seconds(standing.begun_ns)));
    if (standing.next)
      parts.push_back("has not entered " + standing.next_name);
  }
  return fmt::format("step {}: {}", standing.step, join(parts, "; "));
}

}  // namespace lockstep::watch
