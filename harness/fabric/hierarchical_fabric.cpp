#include "harness/fabric/hierarchical_fabric.hpp"

#include <algorithm>
#include <utility>

#include "harness/core/error.hpp"

namespace lockstep::fabric {
namespace {

using step::Comm;
using step::CommState;

bool same(const step::BufferRef& a, const step::BufferRef& b) {
  return a.buffer == b.buffer && a.offset == b.offset;
}

const Comm& part(const HierarchicalOp::Piece& piece, std::size_t phase) {
  return phase == 0 ? piece.reduce_scatter : phase == 1 ? piece.all_reduce : piece.all_gather;
}

}  // namespace

HierarchicalFabric::HierarchicalFabric(const HierarchyPlan& plan, std::unique_ptr<step::FabricBackend> inner)
    : plan_(plan), inner_(std::move(inner)), orders_(plan.graph.groups.size()) {
  std::vector<std::size_t> pieces(plan.graph.groups.size(), 0);
  std::size_t most = 0;
  for (const HierarchicalOp& op : plan.ops) {
    pieces[op.flat.group.value()] += op.pieces.size();
    most = std::max(most, op.pieces.size());
  }
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    if (pieces[i] == 0)
      continue;
    orders_[i] = std::make_unique<GroupOrder>(GroupOrder{PhaseOrder(pieces[i]), {}});
    orders_[i]->entries.reserve(pieces[i]);
  }
  slots_.resize(std::max<std::size_t>(1, plan.graph.comm_ops().size()));
  for (Slot& slot : slots_)
    slot.pieces.reserve(most);
}

/// By what it says: whoever starts it may hold a copy.
const HierarchicalOp* HierarchicalFabric::find(const Comm& comm) const {
  if (comm.kind != step::CommKind::all_reduce)
    return nullptr;
  const auto found = std::find_if(plan_.ops.begin(), plan_.ops.end(), [&](const HierarchicalOp& op) {
    return op.flat.group == comm.group && op.flat.elements == comm.elements && same(op.flat.to, comm.to) &&
           same(op.flat.from, comm.from);
  });
  return found == plan_.ops.end() ? nullptr : &*found;
}

step::FabricBackend::Ticket HierarchicalFabric::start(const Comm& comm, const step::StepGraph& /*graph*/,
                                                      step::BufferSet& buffers) {
  Ticket ticket = next_slot_;
  for (std::size_t looked = 0; slots_[ticket].busy; ++looked) {
    LOCKSTEP_EXPECT(looked < slots_.size(), "more operations in flight than the graph has");
    ticket = (ticket + 1) % static_cast<Ticket>(slots_.size());
  }
  next_slot_ = (ticket + 1) % static_cast<Ticket>(slots_.size());
  Slot& slot = slots_[ticket];
  slot.busy = true;
  slot.op = find(comm);
  slot.buffers = &buffers;
  slot.pieces.clear();
  slot.pieces_left = 0;
  slot.whole_left = false;
  slot.error.clear();
  if (slot.op == nullptr) {
    slot.whole = inner_->start(comm, plan_.graph, buffers);
    slot.whole_left = true;
    return ticket;
  }
  slot.pieces_left = slot.op->pieces.size();
  for (std::size_t i = 0; i < slot.op->pieces.size(); ++i) {
    GroupOrder& group = order_of(*slot.op);
    if (group.order.idle())
      group.entries.clear();
    const std::size_t place = group.order.add();
    group.entries.push_back({ticket, i});
    slot.pieces.push_back({.place = place, .phase = 0, .running = false, .inner = 0});
    start_piece(slot, i);
  }
  if (slot.op->rest) {
    slot.whole = inner_->start(*slot.op->rest, plan_.graph, buffers);
    slot.whole_left = true;
  }
  return ticket;
}

void HierarchicalFabric::start_piece(Slot& slot, std::size_t index) {
  Piece& piece = slot.pieces[index];
  piece.inner = inner_->start(part(slot.op->pieces[index], piece.phase), plan_.graph, *slot.buffers);
  piece.running = true;
}

CommState HierarchicalFabric::look(Slot& slot, Ticket inner) {
  const CommState state = inner_->test(inner);
  if (state == CommState::failed && slot.error.empty())
    slot.error = inner_->error_text(inner);
  return state;
}

void HierarchicalFabric::look_at(Slot& slot, std::size_t index) {
  Piece& piece = slot.pieces[index];
  const CommState state = look(slot, piece.inner);
  if (state == CommState::pending)
    return;
  piece.running = false;
  if (state == CommState::failed)
    return;
  order_of(*slot.op).order.done(piece.place, piece.phase);
  ++piece.phase;
  if (piece.phase == PhaseOrder::kPhases)
    --slot.pieces_left;
}

/// Whoever waits for one operation carries on all those before it: of what the ranks wait for, each perhaps
/// for another, the first one is then carried on by all of them.
void HierarchicalFabric::look_at_those_before(GroupOrder& group, std::size_t place) {
  for (std::size_t i = 0; i < place; ++i) {
    Slot& slot = slots_[group.entries[i].slot];
    // A slot may have gone to another operation meanwhile.
    if (!slot.busy || slot.op == nullptr || slot.pieces.size() <= group.entries[i].piece ||
        &order_of(*slot.op) != &group)
      continue;
    const Piece& piece = slot.pieces[group.entries[i].piece];
    if (piece.place == i && piece.running)
      look_at(slot, group.entries[i].piece);
  }
}

void HierarchicalFabric::start_what_may(GroupOrder& group) {
  for (std::size_t phase = 1; phase < PhaseOrder::kPhases; ++phase) {
    while (const auto place = group.order.start_next(phase)) {
      const GroupOrder::Entry& entry = group.entries[*place];
      start_piece(slots_[entry.slot], entry.piece);
    }
  }
}

CommState HierarchicalFabric::test(Ticket ticket) {
  LOCKSTEP_EXPECT(ticket < slots_.size() && slots_[ticket].busy, "no operation has this ticket");
  Slot& slot = slots_[ticket];
  std::size_t last_left = 0;
  for (std::size_t i = 0; i < slot.pieces.size(); ++i) {
    if (slot.pieces[i].running)
      look_at(slot, i);
    if (slot.pieces[i].phase < PhaseOrder::kPhases)
      last_left = slot.pieces[i].place;
  }
  if (!slot.pieces.empty() && slot.pieces_left > 0 && slot.error.empty()) {
    look_at_those_before(order_of(*slot.op), last_left);
    start_what_may(order_of(*slot.op));
  }
  if (slot.whole_left)
    slot.whole_left = look(slot, slot.whole) == CommState::pending;
  if (!slot.error.empty()) {
    slot.busy = false;
    return CommState::failed;
  }
  if (slot.pieces_left > 0 || slot.whole_left)
    return CommState::pending;
  slot.busy = false;
  return CommState::done;
}

std::string HierarchicalFabric::error_text(Ticket ticket) const {
  LOCKSTEP_EXPECT(ticket < slots_.size(), "no operation had this ticket");
  return slots_[ticket].error;
}

}  // namespace lockstep::fabric
