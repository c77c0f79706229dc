#pragma once

#include <string>
#include <utility>

#include "harness/step/graph.hpp"

namespace lockstep::step::testing_support {

/// Builds graphs of a few ops for tests: one world group over `ranks_per_site`, buffers of `elements` floats.
class SmallGraph {
 public:
  explicit SmallGraph(RankLayout layout, std::uint64_t elements = 64) : elements_(elements) {
    Group world{"world", {{}}, layout.ranks_per_site.size() > 1};
    for (std::uint32_t rank = 0; rank < layout.ranks(); ++rank)
      world.parts[0].emplace_back(rank);
    graph_.groups.push_back(std::move(world));
    graph_.tokens_per_rank = 1;
  }

  OpId gemm(std::string name, std::vector<OpId> after = {}, std::uint64_t size = 4) {
    Gemm work;
    work.m = work.n = work.k = size;
    work.a = {buffer(), 0};
    work.b = {buffer(), 0};
    work.c = {buffer(), 0};
    return add(std::move(name), work, std::move(after));
  }

  OpId all_reduce(std::string name, std::vector<OpId> after = {}) {
    Comm work;
    work.kind = CommKind::all_reduce;
    work.elements = elements_;
    work.from = {buffer(), 0};
    work.to = {buffer(), 0};
    work.validated = true;
    return add(std::move(name), work, std::move(after));
  }

  [[nodiscard]] const StepGraph& graph() const { return graph_; }
  [[nodiscard]] StepGraph& graph() { return graph_; }

 private:
  BufferId buffer() {
    graph_.buffers.push_back(
        {"buffer" + std::to_string(graph_.buffers.size()), BufferRole::activations, Dtype::f32, elements_});
    return BufferId{static_cast<std::uint32_t>(graph_.buffers.size() - 1)};
  }
  template <class Work>
  OpId add(std::string name, Work work, std::vector<OpId> after) {
    graph_.ops.push_back({std::move(name), Phase::backward, std::move(work), std::move(after)});
    return OpId{static_cast<std::uint32_t>(graph_.ops.size() - 1)};
  }

  StepGraph graph_;
  std::uint64_t elements_;
};

}  // namespace lockstep::step::testing_support
