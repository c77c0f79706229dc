#include "harness/watch/standing.hpp"

#include <algorithm>
#include <atomic>
#include <map>
#include <set>
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

struct OpTime {
  std::int64_t begin_ns = 0;
  std::int64_t end_ns = 0;
};
using OpTimes = std::map<std::uint32_t, OpTime>;

/// `times`: of the ops of this step, by index; an op that was not begun may be absent.
Standing standing_of(const record::RankMeta& meta, std::uint32_t step, std::int64_t begun_ns, bool ended,
                     const OpTimes& times) {
  Standing standing;
  standing.step = step;
  standing.begun_ns = begun_ns;
  standing.ended = ended;
  if (begun_ns == 0 || ended)
    return standing;
  for (std::uint32_t op = 0; op < meta.graph.size(); ++op) {
    const record::GraphRow& row = meta.graph[op];
    const auto found = times.find(op);
    const OpTime time = found == times.end() ? OpTime{} : found->second;
    const bool is_under_way = time.begin_ns != 0 && time.end_ns == 0;
    if (!is_communication(row)) {
      if (is_under_way)
        standing.computing = OpUnderWay{op, row.name, time.begin_ns, {}};
    } else if (is_under_way) {
      standing.waiting.push_back({op, row.name, time.begin_ns, others_of(meta, row.group)});
    } else if (time.begin_ns == 0 && !standing.next) {
      standing.next = op;
      standing.next_name = row.name;
    }
  }
  std::sort(standing.waiting.begin(), standing.waiting.end(),
            [](const OpUnderWay& a, const OpUnderWay& b) { return a.since_ns < b.since_ns; });
  return standing;
}

/// `computing layer7.up`
std::string short_place(const Standing& standing) {
  if (standing.begun_ns == 0)
    return fmt::format("before step {}", standing.step);
  if (standing.computing)
    return "computing " + standing.computing->name;
  if (!standing.waiting.empty())
    return "waiting in " + standing.waiting.front().name;
  return "between ops";
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
  if (step >= recording.steps.size() || recording.ops.empty())
    return {.step = step};
  const std::int64_t begin_ns = look(recording.steps[step].begin_ns);
  const bool ended = look(recording.steps[step].end_ns) != 0;
  OpTimes times;
  std::size_t comm_index = 0;
  for (std::uint32_t op = 0; op < meta.graph.size(); ++op) {
    if (is_communication(meta.graph[op])) {
      step::CommStamp& stamp = recording.comm(step, comm_index++);
      times[op] = {look(stamp.begin_ns), look(stamp.end_ns)};
    } else if (step::OpStamp& stamp = recording.op(step, op); stamp.step == step) {
      times[op] = {look(stamp.begin_ns), look(stamp.end_ns)};
    }
  }
  return standing_of(meta, step, begin_ns, ended, times);
}

Standing where_it_stands(const record::JournalReader& journal, std::uint32_t step) {
  const std::optional<step::StepStamp> stamp = journal.step(step);
  if (!stamp)
    return {.step = step};
  OpTimes times;
  for (const step::OpStamp& op : journal.ops()) {
    if (op.step == step)
      times[op.op] = {op.begin_ns, op.end_ns};
  }
  for (const step::CommStamp& comm : journal.comms(step))
    times[comm.op] = {comm.begin_ns, comm.end_ns};
  return standing_of(journal.meta(), step, stamp->begin_ns, stamp->end_ns != 0, times);
}

std::string who_holds_up(const std::vector<RankStanding>& ranks) {
  const OpUnderWay* first = nullptr;
  std::set<std::uint32_t> group;
  for (const RankStanding& rank : ranks) {
    for (const OpUnderWay& open : rank.standing.waiting) {
      if (first == nullptr || open.op < first->op) {
        first = &open;
        group = {open.awaited.begin(), open.awaited.end()};
        group.insert(rank.rank);
      }
    }
  }
  std::vector<std::string> late;
  std::uint32_t seen = 0;
  std::uint32_t waiting = 0;
  std::uint32_t through = 0;
  for (const RankStanding& rank : ranks) {
    const Standing& standing = rank.standing;
    if (first != nullptr && !group.contains(rank.rank))
      continue;
    const auto is_first = [&](const OpUnderWay& open) { return first != nullptr && open.op == first->op; };
    const bool waits = std::any_of(standing.waiting.begin(), standing.waiting.end(), is_first);
    const bool is_before = standing.begun_ns == 0 || (!standing.ended && standing.next && first != nullptr &&
                                                      *standing.next <= first->op);
    ++seen;
    waiting += waits ? 1 : 0;
    if (first != nullptr ? is_before : !standing.ended)
      late.push_back(fmt::format("rank {} on {} ({})", rank.rank, rank.host, short_place(standing)));
    else if (!waits)
      ++through;
  }
  constexpr std::size_t kMostNamed = 2;
  const std::size_t others = late.size() - std::min(late.size(), kMostNamed);
  late.resize(late.size() - others);
  const std::string names = join(late, ", ") + (others > 0 ? fmt::format(" and {} more", others) : "");
  if (first == nullptr)
    return late.empty() ? "" : "not through, and waiting for nobody: " + names;
  // Nothing is said of ranks that were not looked at.
  const std::string ranks_seen =
      seen == group.size() ? fmt::format("{} ranks", seen)
                           : fmt::format("{} ranks looked at (its group has {})", seen, group.size());
  if (!late.empty())
    return fmt::format("{} of {} wait in {} for {}", waiting, ranks_seen, first->name, names);
  return through > 0 ? fmt::format("{} of {} are still in {}", waiting, ranks_seen, first->name)
                     : fmt::format("all {} are in {}", ranks_seen, first->name);
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
