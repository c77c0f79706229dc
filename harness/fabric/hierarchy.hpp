#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "harness/core/ids.hpp"
#include "harness/step/graph.hpp"

/// All-reduce over several sites without sending everything between them by every rank: reduce-scatter inside
/// each site, all-reduce between the sites (each rank with the ranks of the same position at the other
/// sites), all-gather inside each site. A site of g ranks then sends 2(m-1)/m S between m sites, and each of
/// its ranks a g-th of that; cut in pieces, the phases of different pieces overlap, and the whole tends to
/// the slowest phase. Pure: what is to be done, and in which order.
namespace lockstep::fabric {

struct HierarchyOptions {
  std::uint64_t piece_bytes = std::uint64_t{32} << 20;  ///< an op is cut in pieces of about so much
  std::uint32_t most_pieces = 16;
};

/// An all-reduce as its parts; every communication is one of HierarchyPlan::graph.
struct HierarchicalOp {
  struct Piece {
    step::Comm reduce_scatter;
    step::Comm all_reduce;
    step::Comm all_gather;
  };
  step::Comm flat;  ///< what it stands for
  std::vector<Piece> pieces;
  std::optional<step::Comm> rest;  ///< the last few elements that do not divide, over the whole group
};

/// A graph whose all-reduces between sites are made in phases.
struct HierarchyPlan {
  /// The graph that was given, with the phases' groups, buffers and ops behind its own: a fabric made for it
  /// carries both, and a BufferSet of it serves both.
  step::StepGraph graph;
  std::vector<HierarchicalOp> ops;
  /// Groups between sites whose all-reduces stay flat, and why; one line each.
  std::vector<std::string> left_flat;
};

/// Cuts every all-reduce over a group whose parts each have the same number, at least two, of ranks at every
/// site they touch, at least two sites. The same on every rank.
[[nodiscard]] HierarchyPlan plan_hierarchy(const step::StepGraph& graph, const step::RankLayout& layout,
                                           const HierarchyOptions& options = {});

/// The order in which the pieces of one group's all-reduces go through their three phases. Each phase has a
/// communicator of its own, and on each all ranks must start the pieces in the same order, though they may
/// end in any: a piece starts a phase only behind all pieces that were added before it.
class PhaseOrder {
 public:
  static constexpr std::size_t kPhases = 3;
  /// Makes room for `most` pieces under way; nothing is allocated later.
  explicit PhaseOrder(std::size_t most) { done_.reserve(most); }

  /// A new piece, the last in order; its first phase starts at once.
  std::size_t add();
  /// Phase `phase` of a piece is complete.
  void done(std::size_t piece, std::size_t phase);
  /// The piece that may start phase `phase` (not the first) now, if there is one; it counts as started.
  [[nodiscard]] std::optional<std::size_t> start_next(std::size_t phase);
  /// Nothing is under way.
  [[nodiscard]] bool idle() const { return done_.empty(); }

 private:
  std::vector<std::size_t> done_;  // by piece: phases complete
  std::size_t started_[kPhases] = {};
  std::size_t finished_ = 0;
};

}  // namespace lockstep::fabric
