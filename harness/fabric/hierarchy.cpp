#include "harness/fabric/hierarchy.hpp"

#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "harness/core/error.hpp"

namespace lockstep::fabric {
namespace {

using step::BufferRef;
using step::Comm;
using step::CommKind;
using step::RankLayout;
using step::StepGraph;

/// The groups that a group's all-reduce is made over, and the ranks of it at each site.
struct SubGroups {
  GroupId scatter;
  GroupId across;
  GroupId gather;
  std::uint64_t ranks_per_site = 0;
};

/// A part's ranks by site, in the part's order; sites in order of their first rank.
std::vector<std::vector<RankId>> by_site(const std::vector<RankId>& part, const RankLayout& layout) {
  std::vector<std::vector<RankId>> sites;
  std::vector<std::uint32_t> names;
  for (const RankId rank : part) {
    const std::uint32_t site = layout.site_of(rank);
    const auto found = std::find(names.begin(), names.end(), site);
    if (found == names.end()) {
      names.push_back(site);
      sites.push_back({rank});
    } else {
      sites[static_cast<std::size_t>(found - names.begin())].push_back(rank);
    }
  }
  return sites;
}

/// Why a group cannot be reduced in phases; empty: it can. `parts`: each by site.
std::string obstacle(const std::vector<std::vector<std::vector<RankId>>>& parts) {
  const std::size_t per_site = parts.front().front().size();
  for (const auto& sites : parts) {
    if (sites.size() < 2)
      return "some of its parts are inside one site";
    for (const auto& site : sites) {
      if (site.size() != per_site)
        return fmt::format("its sites have unequal numbers of ranks ({} and {})", per_site, site.size());
    }
  }
  return per_site < 2 ? "it has one rank at each site" : "";
}

class Planner {
 public:
  Planner(const StepGraph& graph, const RankLayout& layout, const HierarchyOptions& options)
      : layout_(layout), options_(options) {
    LOCKSTEP_EXPECT(options.piece_bytes > 0 && options.most_pieces > 0, "a piece has some size");
    plan_.graph = graph;
  }

  HierarchyPlan make() {
    const std::vector<OpId> ops = plan_.graph.comm_ops();
    for (const OpId id : ops) {
      const step::Op& op = plan_.graph.op(id);
      const auto comm = std::get<Comm>(op.work);
      if (comm.kind != CommKind::all_reduce || comm.elements == 0 ||
          !plan_.graph.group(comm.group).spans_sites)
        continue;
      if (const SubGroups* groups = groups_of(comm.group))
        cut(op.name, op.phase, comm, *groups);
    }
    plan_.graph.check();
    return std::move(plan_);
  }

 private:
  const SubGroups* groups_of(GroupId id) {
    const auto known = groups_.find(id.value());
    if (known != groups_.end())
      return known->second ? &*known->second : nullptr;
    const step::Group group = plan_.graph.group(id);
    std::vector<std::vector<std::vector<RankId>>> parts;
    for (const auto& part : group.parts)
      parts.push_back(by_site(part, layout_));
    std::optional<SubGroups>& made = groups_[id.value()];
    const std::string why_not = obstacle(parts);
    if (!why_not.empty()) {
      plan_.left_flat.push_back(fmt::format("{}: {}", group.name, why_not));
      return nullptr;
    }
    step::Group inside{group.name + ".scatter", {}, false};
    step::Group across{group.name + ".across", {}, true};
    for (const auto& sites : parts) {
      inside.parts.insert(inside.parts.end(), sites.begin(), sites.end());
      for (std::size_t lane = 0; lane < sites.front().size(); ++lane) {
        auto& part = across.parts.emplace_back();
        for (const auto& site : sites)
          part.push_back(site[lane]);
      }
    }
    step::Group gather = inside;
    gather.name = group.name + ".gather";
    made = SubGroups{add(inside), add(across), add(gather), parts.front().front().size()};
    return &*made;
  }

  GroupId add(step::Group group) {
    plan_.graph.groups.push_back(std::move(group));
    return GroupId(static_cast<std::uint32_t>(plan_.graph.groups.size() - 1));
  }

  BufferId add_buffer(const std::string& name, step::Dtype dtype, std::uint64_t elements) {
    plan_.graph.buffers.push_back({name, step::BufferRole::reduced, dtype, elements});
    return BufferId(static_cast<std::uint32_t>(plan_.graph.buffers.size() - 1));
  }

  /// Adds an op that carries it, so that a fabric made for the graph makes room for it.
  Comm add_op(const std::string& name, step::Phase phase, CommKind kind, GroupId group, step::Dtype dtype,
              std::uint64_t elements, BufferRef from, BufferRef to) {
    const Comm comm{
        .kind = kind, .group = group, .dtype = dtype, .elements = elements, .from = from, .to = to};
    plan_.graph.ops.push_back({.name = name, .phase = phase, .work = comm, .after = {}});
    return comm;
  }

  // By value: the graph that they may be part of grows meanwhile.
  void cut(const std::string name, step::Phase phase, const Comm comm, const SubGroups groups) {
    const std::uint64_t ranks = groups.ranks_per_site;
    const std::uint64_t units = comm.elements / ranks;  // blocks of a site's ranks
    HierarchicalOp cut_op;
    cut_op.flat = comm;
    const auto later = [](BufferRef ref, std::uint64_t elements) {
      return BufferRef{ref.buffer, ref.offset + elements};
    };
    if (units > 0) {
      const BufferId in_site = add_buffer(name + ".in_site", comm.dtype, units);
      const BufferId in_all = add_buffer(name + ".in_all", comm.dtype, units);
      const std::uint64_t wanted = (comm.bytes() + options_.piece_bytes - 1) / options_.piece_bytes;
      const std::uint64_t pieces =
          std::clamp<std::uint64_t>(wanted, 1, std::min<std::uint64_t>(options_.most_pieces, units));
      for (std::uint64_t i = 0; i < pieces; ++i) {
        const std::uint64_t first = units * i / pieces;
        const std::uint64_t length = units * (i + 1) / pieces - first;
        const std::string stem = fmt::format("{}.piece{}", name, i);
        HierarchicalOp::Piece piece;
        piece.reduce_scatter =
            add_op(stem + ".reduce_scatter", phase, CommKind::reduce_scatter, groups.scatter, comm.dtype,
                   length * ranks, later(comm.from, first * ranks), {in_site, first});
        piece.all_reduce = add_op(stem + ".all_reduce", phase, CommKind::all_reduce, groups.across,
                                  comm.dtype, length, {in_site, first}, {in_all, first});
        piece.all_gather = add_op(stem + ".all_gather", phase, CommKind::all_gather, groups.gather,
                                  comm.dtype, length * ranks, {in_all, first}, later(comm.to, first * ranks));
        cut_op.pieces.push_back(piece);
      }
    }
    const std::uint64_t rest = comm.elements - units * ranks;
    if (rest > 0)
      cut_op.rest = add_op(name + ".rest", phase, CommKind::all_reduce, comm.group, comm.dtype, rest,
                           later(comm.from, units * ranks), later(comm.to, units * ranks));
    plan_.ops.push_back(std::move(cut_op));
  }

  const RankLayout& layout_;
  const HierarchyOptions& options_;
  HierarchyPlan plan_;
  std::map<std::uint32_t, std::optional<SubGroups>> groups_;
};

}  // namespace

HierarchyPlan plan_hierarchy(const StepGraph& graph, const RankLayout& layout,
                             const HierarchyOptions& options) {
  return Planner(graph, layout, options).make();
}

std::size_t PhaseOrder::add() {
  LOCKSTEP_EXPECT(done_.size() < done_.capacity(), "more pieces under way than there was room for");
  done_.push_back(0);
  started_[0] = done_.size();
  return done_.size() - 1;
}

void PhaseOrder::done(std::size_t piece, std::size_t phase) {
  LOCKSTEP_EXPECT(piece < started_[phase] && done_[piece] == phase,
                  "a phase ends once, and after the one before");
  done_[piece] = phase + 1;
  if (phase + 1 < kPhases)
    return;
  if (++finished_ < done_.size())
    return;
  done_.clear();
  std::fill(std::begin(started_), std::end(started_), std::size_t{0});
  finished_ = 0;
}

std::optional<std::size_t> PhaseOrder::start_next(std::size_t phase) {
  LOCKSTEP_EXPECT(phase > 0 && phase < kPhases, "the first phase starts with add()");
  const std::size_t piece = started_[phase];
  if (piece >= done_.size() || done_[piece] < phase)
    return std::nullopt;
  ++started_[phase];
  return piece;
}

}  // namespace lockstep::fabric
