#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "harness/fabric/hierarchy.hpp"
#include "harness/step/backends.hpp"

namespace lockstep::fabric {

/// Makes all-reduces between sites in phases, over any other fabric; all else goes through as it is.
///
/// Sharp edge: on different ranks phases of different pieces start in different orders, though on each
/// communicator in the same one. A transport must therefore carry several communicators at the same time
/// without one holding up the other.
class HierarchicalFabric final : public step::FabricBackend {
 public:
  /// `inner` was made for plan.graph. `plan` outlives it.
  HierarchicalFabric(const HierarchyPlan& plan, std::unique_ptr<step::FabricBackend> inner);

  /// `graph`: the one that the plan was made from, or the plan's; `buffers` of the plan's.
  Ticket start(const step::Comm& comm, const step::StepGraph& graph, step::BufferSet& buffers) override;
  step::CommState test(Ticket ticket) override;
  [[nodiscard]] std::string error_text(Ticket ticket) const override;
  [[nodiscard]] std::string name() const override { return inner_->name() + ", hierarchical"; }
  void abandon() noexcept override { inner_->abandon(); }

 private:
  struct Piece {
    std::size_t place = 0;  ///< in the group's order
    std::size_t phase = 0;
    bool running = false;  ///< the phase was started and has not ended
    Ticket inner = 0;
  };
  struct Slot {
    bool busy = false;
    const HierarchicalOp* op = nullptr;  ///< null: goes through as it is
    std::vector<Piece> pieces;
    std::size_t pieces_left = 0;
    bool whole_left = false;  ///< the op itself when it goes through, else its rest
    Ticket whole = 0;
    step::BufferSet* buffers = nullptr;
    std::string error;
  };
  /// A group whose all-reduces are made in phases.
  struct GroupOrder {
    PhaseOrder order;
    struct Entry {
      Ticket slot = 0;
      std::size_t piece = 0;
    };
    std::vector<Entry> entries;  // by place
  };

  [[nodiscard]] const HierarchicalOp* find(const step::Comm& comm) const;
  void start_piece(Slot& slot, std::size_t index);
  void look_at(Slot& slot, std::size_t index);
  void look_at_those_before(GroupOrder& group, std::size_t place);
  void start_what_may(GroupOrder& group);
  [[nodiscard]] step::CommState look(Slot& slot, Ticket inner);
  [[nodiscard]] GroupOrder& order_of(const HierarchicalOp& op) { return *orders_[op.flat.group.value()]; }

  const HierarchyPlan& plan_;
  std::unique_ptr<step::FabricBackend> inner_;
  std::vector<std::unique_ptr<GroupOrder>> orders_;  // by GroupId of the flat group
  std::vector<Slot> slots_;
  Ticket next_slot_ = 0;
};

}  // namespace lockstep::fabric
