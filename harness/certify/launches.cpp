#include "harness/certify/launches.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include <fmt/format.h>

#include "harness/record/common_clock.hpp"
#include "harness/step/stamps.hpp"

namespace lockstep::certify {
namespace {

/// `saved`: training steps that checkpoints of this launch hold.
void judge_steps(Launch& launch, std::vector<const record::StepRow*>& rows,
                 const std::set<std::uint32_t>& saved, const std::vector<record::CommonClock>& clocks) {
  std::sort(rows.begin(), rows.end(), [](const record::StepRow* a, const record::StepRow* b) {
    return std::tie(a->step, a->rank) < std::tie(b->step, b->rank);
  });
  const std::uint32_t ranks = launch.leg->ranks;
  for (std::size_t begin = 0; begin < rows.size();) {
    std::size_t end = begin;
    JudgedStep judged;
    judged.step = rows[begin]->step;
    judged.steady = true;
    bool sound = true;
    for (; end < rows.size() && rows[end]->step == judged.step; ++end) {
      const record::StepRow& row = *rows[end];
      sound = sound && row.rank == end - begin && row.rank < ranks;
      if (row.rank >= ranks) {
        launch.defects.push_back(fmt::format("step {} has a rank {} of {}", row.step, row.rank, ranks));
        continue;
      }
      if (end > begin && row.rank == rows[end - 1]->rank)
        launch.defects.push_back(fmt::format("step {} of rank {} is there twice", row.step, row.rank));
      const record::CommonClock& clock = clocks[row.rank];
      const std::int64_t row_begin_ns = clock.to_common_ns(row.begin_ns);
      const std::int64_t row_end_ns = clock.to_common_ns(row.end_ns);
      judged.begin_ns = end == begin ? row_begin_ns : std::max(judged.begin_ns, row_begin_ns);
      judged.end_ns = end == begin ? row_end_ns : std::max(judged.end_ns, row_end_ns);
      judged.steady = judged.steady && (row.flags & step::kStepWarmup) == 0;
      judged.rows.push_back(&row);
    }
    begin = end;
    // A step that some rank did not complete has no end.
    if (!sound || judged.rows.size() != ranks)
      continue;
    if (!launch.steps.empty() && launch.steps.back().step + 1 == judged.step) {
      const std::int64_t before_ns = launch.steps.back().end_ns;
      if (saved.contains(launch.leg->first_step + judged.step))
        judged.paused_ns = std::max<std::int64_t>(0, judged.begin_ns - before_ns);
      else
        judged.begin_ns = before_ns;
    }
    if (judged.end_ns <= judged.begin_ns) {
      launch.defects.push_back(fmt::format("step {} ends before it begins", judged.step));
      continue;
    }
    launch.steps.push_back(std::move(judged));
  }
}

}  // namespace

std::vector<double> Launch::steady_times_s() const {
  std::vector<double> times;
  for (const JudgedStep& step : steps)
    if (step.steady)
      times.push_back(step.time_s());
  return times;
}

std::vector<double> Round::steady_times_s() const {
  std::vector<double> times;
  for (const Launch* launch : attempts) {
    const std::vector<double> own = launch->steady_times_s();
    times.insert(times.end(), own.begin(), own.end());
  }
  return times;
}

std::vector<Launch> collect_launches(const record::Evidence& evidence) {
  std::vector<Launch> launches;
  std::map<std::uint32_t, std::size_t> index;
  for (const record::LegRow& row : evidence.legs) {
    if (!index.emplace(row.leg, launches.size()).second) {
      launches[index.at(row.leg)].defects.emplace_back("it was announced twice");
      continue;
    }
    launches.emplace_back().leg = &row;
  }
  const auto find = [&](std::uint32_t leg) -> Launch* {
    const auto found = index.find(leg);
    return found == index.end() ? nullptr : &launches[found->second];
  };
  for (const record::LegEndRow& row : evidence.leg_ends) {
    if (Launch* launch = find(row.leg)) {
      if (launch->end != nullptr)
        launch->defects.emplace_back("its end was told twice");
      launch->end = &row;
    }
  }
  for (const record::RankRow& row : evidence.ranks)
    if (Launch* launch = find(row.leg))
      launch->ranks.push_back(&row);
  for (const record::GraphRow& row : evidence.graph)
    if (Launch* launch = find(row.leg))
      launch->graph.push_back(&row);
  for (const record::CommRow& row : evidence.comms)
    if (Launch* launch = find(row.leg); launch != nullptr && row.end_ns != 0)
      launch->comms.push_back(&row);

  std::map<std::uint32_t, std::vector<const record::StepRow*>> steps;
  for (const record::StepRow& row : evidence.steps)
    if (row.end_ns != 0)
      steps[row.leg].push_back(&row);
  std::map<std::uint32_t, std::set<std::uint32_t>> saved;
  for (const record::CheckpointRow& row : evidence.checkpoints)
    if (row.action == "save")
      saved[row.leg].insert(row.step);
  std::map<std::uint32_t, std::map<std::uint32_t, std::vector<record::ClockRow>>> clock_rows;
  for (const record::ClockRow& row : evidence.clock)
    clock_rows[row.leg][row.rank].push_back(row);

  for (Launch& launch : launches) {
    std::sort(launch.comms.begin(), launch.comms.end(),
              [](const record::CommRow* a, const record::CommRow* b) {
                return std::tie(a->step, a->op, a->rank) < std::tie(b->step, b->op, b->rank);
              });
    std::vector<record::CommonClock> clocks;
    launch.least_clock_rows = SIZE_MAX;
    for (std::uint32_t rank = 0; rank < launch.leg->ranks; ++rank) {
      clocks.emplace_back(std::move(clock_rows[launch.leg->leg][rank]));
      launch.clock_bound_ns = std::max(launch.clock_bound_ns, clocks.back().bound_ns());
      launch.least_clock_rows = std::min(launch.least_clock_rows, clocks.back().measurements());
    }
    judge_steps(launch, steps[launch.leg->leg], saved[launch.leg->leg], clocks);
  }
  return launches;
}

std::vector<Round> rounds_of(const std::vector<Launch>& launches, const std::string& name) {
  std::vector<Round> rounds;
  for (const Launch& launch : launches) {
    if (launch.leg->name != name)
      continue;
    const auto same = std::find_if(rounds.begin(), rounds.end(),
                                   [&](const Round& round) { return round.round == launch.leg->round; });
    Round& round = same != rounds.end() ? *same : rounds.emplace_back();
    round.round = launch.leg->round;
    round.attempts.push_back(&launch);
  }
  std::sort(rounds.begin(), rounds.end(), [](const Round& a, const Round& b) { return a.round < b.round; });
  for (Round& round : rounds)
    std::sort(round.attempts.begin(), round.attempts.end(), [](const Launch* a, const Launch* b) {
      return std::tie(a->leg->attempt, a->leg->leg) < std::tie(b->leg->attempt, b->leg->leg);
    });
  return rounds;
}

}  // namespace lockstep::certify
