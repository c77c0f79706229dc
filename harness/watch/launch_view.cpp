#include "harness/watch/launch_view.hpp"

#include <algorithm>
#include <charconv>
#include <set>
#include <tuple>

#include <fmt/format.h>

namespace lockstep::watch {
namespace {

/// Steps from which the parts of a group are read.
constexpr std::size_t kEnoughSteps = 6;

template <class Row>
std::span<const Row* const> rows_of_step(const std::vector<const Row*>& rows, std::uint32_t step) {
  const auto begin = std::lower_bound(rows.begin(), rows.end(), step,
                                      [](const Row* row, std::uint32_t value) { return row->step < value; });
  const auto end = std::upper_bound(begin, rows.end(), step,
                                    [](std::uint32_t value, const Row* row) { return value < row->step; });
  return {begin, end};
}

GroupParts make_parts(std::vector<std::uint32_t> of_rank) {
  GroupParts group{.of_rank = std::move(of_rank), .parts = {}};
  for (std::uint32_t rank = 0; rank < group.of_rank.size(); ++rank) {
    const std::uint32_t part = group.of_rank[rank];
    if (part >= group.parts.size())
      group.parts.resize(part + std::size_t{1});
    group.parts[part].push_back(rank);
  }
  return group;
}

/// A row's own time less its waiting is the shortest time of its part, to the nanosecond: ranks that share it
/// in several steps belong together. Empty when the evidence does not tell.
std::vector<std::uint32_t> parts_by_times(const LaunchView& view, const std::set<std::uint32_t>& ops) {
  const std::uint32_t ranks = view.rank_count();
  std::vector<std::vector<std::int64_t>> shortest(ranks);
  std::size_t used = 0;
  for (std::size_t begin = 0; begin < view.comms.size() && used < kEnoughSteps;) {
    std::size_t end = begin;
    const record::CommRow& first = *view.comms[begin];
    bool whole = true;
    for (; end < view.comms.size() && view.comms[end]->step == first.step && view.comms[end]->op == first.op;
         ++end)
      whole = whole && view.comms[end]->end_ns != 0 && view.comms[end]->rank == end - begin;
    if (whole && end - begin == ranks && ops.contains(first.op)) {
      for (std::size_t i = begin; i < end; ++i) {
        const record::CommRow& row = *view.comms[i];
        shortest[i - begin].push_back(row.end_ns - row.begin_ns - row.wait_ns);
      }
      ++used;
    }
    begin = end;
  }
  if (used == 0)
    return {};
  std::map<std::vector<std::int64_t>, std::uint32_t> ids;
  std::vector<std::uint32_t> of_rank;
  for (const auto& times : shortest)
    of_rank.push_back(ids.try_emplace(times, static_cast<std::uint32_t>(ids.size())).first->second);
  return of_rank;
}

/// As the transformer lays its groups out: replicas of consecutive ranks, and the ranks of the same place in
/// all of them.
std::vector<std::uint32_t> parts_by_size(std::uint32_t ranks, std::uint32_t size, bool consecutive) {
  std::vector<std::uint32_t> of_rank;
  const std::uint32_t stride = size == 0 ? 1 : std::max(1U, ranks / size);
  for (std::uint32_t rank = 0; rank < ranks; ++rank)
    of_rank.push_back(consecutive ? rank / std::max(1U, size) : rank % stride);
  return of_rank;
}

bool fits(const GroupParts& group, std::uint32_t size) {
  return std::all_of(group.parts.begin(), group.parts.end(),
                     [size](const auto& part) { return !part.empty() && part.size() <= size; });
}

void find_groups(LaunchView& view) {
  std::map<std::string, std::set<std::uint32_t>> ops;
  for (const record::GraphRow* row : view.graph) {
    if (row != nullptr && !row->group.empty())
      ops[row->group].insert(row->op);
  }
  const std::uint32_t ranks = view.rank_count();
  for (const auto& [name, of_group] : ops) {
    const record::GraphRow& row = *view.graph[*of_group.begin()];
    if (row.group_ranks >= ranks) {
      view.groups[name] = make_parts(std::vector<std::uint32_t>(ranks, 0));
      continue;
    }
    GroupParts told = make_parts(parts_by_times(view, of_group));
    if (told.parts.empty() || !fits(told, row.group_ranks))
      told = make_parts(parts_by_size(ranks, row.group_ranks, row.spans_sites == 0));
    view.groups[name] = std::move(told);
  }
}

void add_fact(LaunchView& view, const record::ProvenanceRow& row) {
  if (row.key != kUtcOffsetKey || row.rank < 0)
    return;
  std::int64_t offset_ns = 0;
  const char* last = row.value.data() + row.value.size();
  const auto [stop, error] = std::from_chars(row.value.data(), last, offset_ns);
  if (error != std::errc() || stop != last)
    return;
  const std::string& host = view.host_of(static_cast<std::uint32_t>(row.rank));
  if (!host.empty())
    view.utc_offset_ns[host] = offset_ns;
}

class Collector {
 public:
  explicit Collector(const record::Evidence& evidence) : evidence_(evidence) {}

  std::vector<LaunchView> collect(std::optional<std::uint32_t> only) {
    for (const record::LegRow& row : evidence_.legs) {
      if ((only && row.leg != *only) || !index_.emplace(row.leg, views_.size()).second)
        continue;
      LaunchView& view = views_.emplace_back();
      view.leg = &row;
      view.ranks.resize(row.ranks);
      view.clocks.resize(row.ranks);
    }
    for (const record::LegEndRow& row : evidence_.leg_ends) {
      if (LaunchView* view = find(row.leg))
        view->end = &row;
    }
    for (const record::RankRow& row : evidence_.ranks) {
      if (LaunchView* view = find(row.leg); view != nullptr && row.rank < view->rank_count())
        view->ranks[row.rank] = &row;
    }
    for (const record::GraphRow& row : evidence_.graph)
      add_op(row);
    take(evidence_.steps, &LaunchView::steps);
    take(evidence_.comms, &LaunchView::comms);
    take(evidence_.ops, &LaunchView::ops);
    take(evidence_.probes, &LaunchView::probes);
    take(evidence_.checkpoints, &LaunchView::checkpoints);
    take(evidence_.devices, &LaunchView::devices);
    take(evidence_.health, &LaunchView::health);
    for (const record::FailureRow& row : evidence_.failures) {
      if (LaunchView* view = find(row.leg))
        view->failures.push_back(&row);
    }
    add_clocks();
    for (const record::ProvenanceRow& row : evidence_.provenance) {
      if (row.leg < 0)
        continue;
      if (LaunchView* view = find(static_cast<std::uint32_t>(row.leg)))
        add_fact(*view, row);
    }
    for (LaunchView& view : views_)
      finish(view);
    return std::move(views_);
  }

 private:
  LaunchView* find(std::uint32_t leg) {
    const auto found = index_.find(leg);
    return found == index_.end() ? nullptr : &views_[found->second];
  }

  /// Rows of ranks that the launch does not have are left out: they would index beyond its ends.
  template <class Row>
  void take(const std::vector<Row>& rows, std::vector<const Row*> LaunchView::*to) {
    for (const Row& row : rows) {
      LaunchView* view = find(row.leg);
      if (view != nullptr && row.rank < view->rank_count())
        (view->*to).push_back(&row);
    }
  }

  void add_op(const record::GraphRow& row) {
    LaunchView* view = find(row.leg);
    constexpr std::uint32_t kMostOps = 1U << 24U;  // a damaged row must not ask for all memory
    if (view == nullptr || row.op >= kMostOps)
      return;
    if (row.op >= view->graph.size())
      view->graph.resize(row.op + std::size_t{1});
    view->graph[row.op] = &row;
  }

  void add_clocks() {
    std::map<std::pair<std::uint32_t, std::uint32_t>, std::vector<record::ClockRow>> rows;
    for (const record::ClockRow& row : evidence_.clock) {
      if (LaunchView* view = find(row.leg); view != nullptr && row.rank < view->rank_count())
        rows[{row.leg, row.rank}].push_back(row);
    }
    for (auto& [key, of_rank] : rows)
      find(key.first)->clocks[key.second] = record::CommonClock(std::move(of_rank));
  }

  static void finish(LaunchView& view) {
    std::erase_if(view.steps, [](const record::StepRow* row) { return row->end_ns == 0; });
    std::sort(view.steps.begin(), view.steps.end(), [](const auto* a, const auto* b) {
      return std::tie(a->step, a->rank) < std::tie(b->step, b->rank);
    });
    std::sort(view.comms.begin(), view.comms.end(), [](const auto* a, const auto* b) {
      return std::tie(a->step, a->op, a->rank) < std::tie(b->step, b->op, b->rank);
    });
    std::sort(view.ops.begin(), view.ops.end(), [](const auto* a, const auto* b) {
      return std::tie(a->step, a->rank, a->op) < std::tie(b->step, b->rank, b->op);
    });
    std::sort(view.devices.begin(), view.devices.end(), [](const auto* a, const auto* b) {
      return std::tie(a->rank, a->device) < std::tie(b->rank, b->device);
    });
    std::stable_sort(view.health.begin(), view.health.end(), [](const auto* a, const auto* b) {
      return std::tie(a->rank, a->device, a->end_ns) < std::tie(b->rank, b->device, b->end_ns);
    });
    find_groups(view);
  }

  const record::Evidence& evidence_;
  std::vector<LaunchView> views_;
  std::map<std::uint32_t, std::size_t> index_;
};

}  // namespace

std::span<const record::StepRow* const> LaunchView::steps_of(std::uint32_t step) const {
  return rows_of_step(steps, step);
}

std::span<const record::CommRow* const> LaunchView::comms_of(std::uint32_t step) const {
  return rows_of_step(comms, step);
}

std::span<const record::OpRow* const> LaunchView::ops_of(std::uint32_t step) const {
  return rows_of_step(ops, step);
}

const std::string& LaunchView::site_of(std::uint32_t rank) const {
  static const std::string unknown;
  return rank < ranks.size() && ranks[rank] != nullptr ? ranks[rank]->site : unknown;
}

const std::string& LaunchView::host_of(std::uint32_t rank) const {
  static const std::string unknown;
  return rank < ranks.size() && ranks[rank] != nullptr ? ranks[rank]->host : unknown;
}

std::vector<std::string> LaunchView::sites() const {
  std::vector<std::string> names;
  for (std::uint32_t rank = 0; rank < ranks.size(); ++rank) {
    const std::string& site = site_of(rank);
    if (!site.empty() && std::find(names.begin(), names.end(), site) == names.end())
      names.push_back(site);
  }
  return names;
}

std::span<const std::uint32_t> LaunchView::part_of(std::uint32_t op, std::uint32_t rank) const {
  if (!is_communication(op))
    return {};
  const auto group = groups.find(graph[op]->group);
  if (group == groups.end() || rank >= group->second.of_rank.size())
    return {};
  return group->second.parts[group->second.of_rank[rank]];
}

bool LaunchView::is_communication(std::uint32_t op) const {
  return op < graph.size() && graph[op] != nullptr && !graph[op]->group.empty();
}

bool LaunchView::spans_sites(std::uint32_t op) const {
  return op < graph.size() && graph[op] != nullptr && graph[op]->spans_sites != 0;
}

std::string LaunchView::op_name(std::uint32_t op) const {
  return op < graph.size() && graph[op] != nullptr && !graph[op]->name.empty() ? graph[op]->name
                                                                               : fmt::format("op {}", op);
}

std::optional<std::int64_t> LaunchView::to_utc_ns(std::uint32_t rank, std::int64_t local_ns) const {
  const auto offset = utc_offset_ns.find(host_of(rank));
  if (offset == utc_offset_ns.end())
    return std::nullopt;
  return local_ns + offset->second;
}

const record::DeviceRow* LaunchView::device_of(std::uint32_t rank) const {
  const record::DeviceRow* processors = nullptr;
  for (const record::DeviceRow* device : devices) {
    if (device->kind == "gpu" && device->rank == rank)
      return device;
    if (device->kind == "cpu" && !host_of(rank).empty() && host_of(device->rank) == host_of(rank))
      processors = device;
  }
  // A rank on a card that nobody watches does not compute on the processors.
  const bool on_card = rank < ranks.size() && ranks[rank] != nullptr && !ranks[rank]->gpu.empty();
  return on_card ? nullptr : processors;
}

std::span<const record::HealthRow* const> LaunchView::health_of(const record::DeviceRow& device) const {
  const auto key = std::tie(device.rank, device.device);
  const auto begin = std::lower_bound(health.begin(), health.end(), key,
                                      [](const record::HealthRow* row, const auto& value) {
                                        return std::tie(row->rank, row->device) < value;
                                      });
  const auto past =
      std::upper_bound(begin, health.end(), key, [](const auto& value, const record::HealthRow* row) {
        return value < std::tie(row->rank, row->device);
      });
  return {begin, past};
}

LaunchView view_of(const record::Evidence& evidence, std::uint32_t leg) {
  std::vector<LaunchView> views = Collector(evidence).collect(leg);
  return views.empty() ? LaunchView{} : std::move(views.front());
}

std::vector<LaunchView> views_of(const record::Evidence& evidence) {
  return Collector(evidence).collect(std::nullopt);
}

}  // namespace lockstep::watch
