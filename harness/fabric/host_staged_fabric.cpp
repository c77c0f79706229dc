#include "harness/fabric/host_staged_fabric.hpp"

#include <algorithm>
#include <utility>

#include "harness/core/error.hpp"
#include "harness/cuda/device.hpp"

namespace lockstep::fabric {

using step::Comm;
using step::CommKind;
using step::CommState;

CommBytes bytes_of_ends(const Comm& comm, std::uint64_t ranks) {
  switch (comm.kind) {
    case CommKind::barrier:
      return {};
    case CommKind::reduce_scatter:
      return {comm.bytes(), comm.bytes() / ranks};
    case CommKind::all_gather:
      return {comm.bytes() / ranks, comm.bytes()};
    case CommKind::all_reduce:
    case CommKind::broadcast:
    case CommKind::all_to_all:
    case CommKind::send_recv:
      break;
  }
  return {comm.bytes(), comm.bytes()};
}

HostStagedFabric::HostStagedFabric(const step::StepGraph& graph, RankId self, Parts parts)
    : parts_(std::move(parts)) {
  const std::size_t comms = std::max<std::size_t>(1, graph.comm_ops().size());
  slots_.resize(comms);
  turn_.reserve(comms);
  ranks_.resize(graph.groups.size(), 1);
  for (const OpId op : graph.comm_ops()) {
    const GroupId group = std::get<Comm>(graph.op(op).work).group;
    ranks_[group.value()] = step::part_of(graph.group(group), self).size();
  }
}

template <class Work>
void HostStagedFabric::try_device(Slot& slot, Work&& work) {
  try {
    work();
  } catch (const cuda::CudaError& error) {
    slot.stage = Stage::failed;
    slot.error = error.what();
  }
}

step::FabricBackend::Ticket HostStagedFabric::start(const Comm& comm, const step::StepGraph& graph,
                                                    step::BufferSet& buffers) {
  Ticket ticket = next_slot_;
  for (std::size_t looked = 0; slots_[ticket].stage != Stage::free; ++looked) {
    LOCKSTEP_EXPECT(looked < slots_.size(), "more operations in flight than the graph has");
    ticket = (ticket + 1) % static_cast<Ticket>(slots_.size());
  }
  next_slot_ = (ticket + 1) % static_cast<Ticket>(slots_.size());
  Slot& slot = slots_[ticket];
  slot.stage = Stage::to_host;
  slot.comm = comm;
  slot.graph = &graph;
  slot.buffers = &buffers;
  slot.error.clear();
  turn_.push_back(ticket);
  try_device(slot, [&] {
    if (const std::uint64_t bytes = ends(comm).from)
      parts_.down->copy(parts_.host->at(graph, comm.from), buffers.at(graph, comm.from), bytes);
    parts_.down->mark(ticket);
  });
  return ticket;
}

CommBytes HostStagedFabric::ends(const Comm& comm) const {
  return bytes_of_ends(comm, ranks_[comm.group.value()]);
}

void HostStagedFabric::begin_inner() {
  // One that failed before its turn holds up those behind it: other ranks wait for it first, and the run
  // ends.
  while (!turn_.empty()) {
    Slot& slot = slots_[turn_.front()];
    if (slot.stage != Stage::waits_its_turn)
      return;
    slot.inner = parts_.inner->start(slot.comm, *slot.graph, *parts_.host);
    slot.stage = Stage::on_the_wire;
    turn_.erase(turn_.begin());
  }
}

void HostStagedFabric::begin_up(Ticket ticket) {
  Slot& slot = slots_[ticket];
  slot.stage = Stage::to_device;
  try_device(slot, [&] {
    if (const std::uint64_t bytes = ends(slot.comm).to)
      parts_.up->copy(slot.buffers->at(*slot.graph, slot.comm.to), parts_.host->at(*slot.graph, slot.comm.to),
                      bytes);
    parts_.up->mark(ticket);
  });
}

void HostStagedFabric::advance(Ticket ticket) {
  Slot& slot = slots_[ticket];
  if (slot.stage == Stage::on_the_wire) {
    const CommState state = parts_.inner->test(slot.inner);
    if (state == CommState::failed) {
      slot.stage = Stage::failed;
      slot.error = parts_.inner->error_text(slot.inner);
    } else if (state == CommState::done) {
      begin_up(ticket);
    }
  }
  if (slot.stage == Stage::to_device) {
    try_device(slot, [&] {
      if (parts_.up->reached(ticket))
        slot.stage = Stage::done;
    });
  }
}

CommState HostStagedFabric::test(Ticket ticket) {
  LOCKSTEP_EXPECT(ticket < slots_.size() && slots_[ticket].stage != Stage::free,
                  "no operation has this ticket");
  // Whose turn it is may be another one than that which is looked at.
  for (const Ticket first : turn_) {
    Slot& slot = slots_[first];
    if (slot.stage != Stage::to_host)
      continue;
    try_device(slot, [&] {
      if (parts_.down->reached(first))
        slot.stage = Stage::waits_its_turn;
    });
  }
  begin_inner();
  advance(ticket);
  Slot& slot = slots_[ticket];
  if (slot.stage != Stage::done && slot.stage != Stage::failed)
    return CommState::pending;
  const CommState state = slot.stage == Stage::done ? CommState::done : CommState::failed;
  slot.stage = Stage::free;
  return state;
}

std::string HostStagedFabric::error_text(Ticket ticket) const {
  LOCKSTEP_EXPECT(ticket < slots_.size(), "no operation had this ticket");
  return slots_[ticket].error;
}

}  // namespace lockstep::fabric
