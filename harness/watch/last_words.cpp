#include "harness/watch/last_words.hpp"

#include <algorithm>
#include <map>

#include "harness/watch/names.hpp"

namespace lockstep::watch {

std::vector<std::uint32_t> completed_by_rank(const LaunchView& view) {
  std::vector<std::uint32_t> steps(view.rank_count(), 0);
  for (const record::StepRow* row : view.steps)
    steps[row->rank] = std::max(steps[row->rank], row->step + 1);
  return steps;
}

bool left_a_journal(const LaunchView& view, std::uint32_t rank) {
  return view.ranks[rank] != nullptr && view.ranks[rank]->state != "missing";
}

std::vector<std::string> dead_links(const LaunchView& view, std::int64_t since_ns) {
  std::map<std::pair<std::uint32_t, std::uint32_t>, std::vector<const record::ProbeRow*>> senders;
  for (const record::ProbeRow* probe : view.probes) {
    const std::string& from = view.site_of(probe->rank);
    const std::string& to = view.site_of(probe->peer);
    if (!from.empty() && !to.empty() && from != to)
      senders[{probe->rank, probe->peer}].push_back(probe);
  }
  std::map<std::string, bool> links;  // dead in every direction that was tried
  for (auto& [pair, rows] : senders) {
    std::sort(rows.begin(), rows.end(),
              [](const auto* a, const auto* b) { return a->begin_ns < b->begin_ns; });
    if (view.clocks[pair.first].to_common_ns(rows.back()->end_ns) < since_ns)
      continue;  // its sender had ended before
    std::uint32_t lost = 0;
    for (auto row = rows.rbegin(); row != rows.rend() && (*row)->lost == (*row)->sent; ++row)
      lost += (*row)->lost;
    const std::string name = between({view.site_of(pair.first), view.site_of(pair.second)});
    const auto [link, first] = links.try_emplace(name, true);
    link->second = link->second && lost >= 2;
  }
  std::vector<std::string> dead;
  for (const auto& [name, is_dead] : links) {
    if (is_dead)
      dead.push_back(name);
  }
  return dead;
}

std::vector<std::uint32_t> silent_ranks(const LaunchView& view) {
  std::vector<std::uint32_t> silent;
  for (std::uint32_t rank = 0; rank < view.rank_count(); ++rank) {
    const bool complete = view.ranks[rank] != nullptr && view.ranks[rank]->state == "complete";
    const bool spoke = std::any_of(view.failures.begin(), view.failures.end(), [rank](const auto* failure) {
      return failure->rank == static_cast<std::int32_t>(rank) &&
             (failure->kind == "deadline" || failure->kind == "transport" || failure->kind == "device");
    });
    if (!complete && !spoke)
      silent.push_back(rank);
  }
  return silent;
}

std::uint32_t steps_completed(const LaunchView& view) {
  const std::vector<std::uint32_t> completed = completed_by_rank(view);
  std::uint32_t least = UINT32_MAX;
  for (std::uint32_t rank = 0; rank < view.rank_count(); ++rank) {
    if (left_a_journal(view, rank))
      least = std::min(least, completed[rank]);
  }
  return least == UINT32_MAX ? 0 : least;
}

}  // namespace lockstep::watch
