#include "harness/fabric/nccl_fabric.hpp"

#include <algorithm>
#include <exception>
#include <utility>

#include "harness/core/error.hpp"
#include "harness/cuda/device.hpp"

namespace lockstep::fabric {
namespace {

using cuda::NcclCommunicator;
using step::Comm;
using step::CommKind;
using step::CommState;

constexpr double kLeaveS = 5.0;
constexpr std::size_t kScratchBytes = 8;  // one element that a barrier sends, and one that it receives

}  // namespace

cuda::NcclType nccl_type(step::Dtype dtype) {
  switch (dtype) {
    case step::Dtype::f32:
      return cuda::NcclType::f32;
    case step::Dtype::f64:
      return cuda::NcclType::f64;
    case step::Dtype::bf16:
      return cuda::NcclType::bf16;
    case step::Dtype::f16:
      return cuda::NcclType::f16;
    case step::Dtype::e4m3:
      return cuda::NcclType::e4m3;
    case step::Dtype::e5m2:
      return cuda::NcclType::e5m2;
  }
  return cuda::NcclType::u8;
}

NcclFabric::NcclFabric(const step::StepGraph& graph, RankId self,
                       std::vector<std::optional<NcclGroup>> groups, step::Memory& memory, Order order)
    : groups_(std::move(groups)), memory_(memory), order_(order), held_up_(groups_.size(), false) {
  LOCKSTEP_EXPECT(groups_.size() == graph.groups.size(), "the communicators are of another graph");
  const std::vector<OpId> ops = graph.comm_ops();
  for (const OpId id : ops) {
    const auto& comm = std::get<Comm>(graph.op(id).work);
    const std::vector<RankId>& part = step::part_of(graph.group(comm.group), self);
    const auto& group = groups_[comm.group.value()];
    LOCKSTEP_EXPECT(group.has_value(), "op " + graph.op(id).name + " has no communicator");
    LOCKSTEP_EXPECT(static_cast<std::size_t>(group->communicator.size()) == part.size(),
                    "the communicator of op " + graph.op(id).name + " has other ranks");
    const bool in_blocks = comm.kind == CommKind::reduce_scatter || comm.kind == CommKind::all_gather ||
                           comm.kind == CommKind::all_to_all;
    LOCKSTEP_EXPECT(!in_blocks || comm.elements % part.size() == 0,
                    "elements do not divide among the ranks of op " + graph.op(id).name);
  }
  // Every op of a step can be in flight at once, and no more.
  slots_.resize(std::max<std::size_t>(1, ops.size()));
  turn_.reserve(slots_.size());
  scratch_ = memory_.allocate(kScratchBytes);
  if (scratch_ == nullptr)
    throw RunError({.what = "the device has no memory left for the NCCL fabric",
                    .why = {},
                    .suggestion = "use a smaller model, or more ranks",
                    .file = {}});
  memory_.clear(scratch_, kScratchBytes);
}

NcclFabric::~NcclFabric() {
  leave();
  // Freeing memory waits for the device, on which a collective that nobody could abort may go on for ever.
  if (left_behind_ == 0)
    memory_.free(scratch_);
}

void NcclFabric::leave() noexcept {
  const bool at_rest =
      std::all_of(slots_.begin(), slots_.end(), [](const Slot& slot) { return slot.stage == Stage::free; });
  if (!at_rest || broken_ || std::uncaught_exceptions() > 0) {
    abandon();
    return;
  }
  for (auto& group : groups_) {
    if (abandoned_ || !group)
      continue;
    if (!group->communicator.finalize(kLeaveS))
      abandon();  // who does not answer once does not answer again
  }
  if (parent_ && !abandoned_ && !parent_->finalize(kLeaveS))
    abandon();
}

void NcclFabric::abandon() noexcept {
  if (abandoned_)
    return;
  abandoned_ = true;
  std::vector<NcclCommunicator*> all;
  for (auto& group : groups_) {
    if (group)
      all.push_back(&group->communicator);
  }
  if (parent_)
    all.push_back(&*parent_);
  left_behind_ = cuda::abort_all(std::move(all), NcclCommunicator::kAbortWaitS);
}

step::FabricBackend::Ticket NcclFabric::start(const Comm& comm, const step::StepGraph& graph,
                                              step::BufferSet& buffers) {
  LOCKSTEP_EXPECT(!abandoned_, "the fabric was abandoned");
  Ticket ticket = next_slot_;
  for (std::size_t looked = 0; slots_[ticket].stage != Stage::free; ++looked) {
    LOCKSTEP_EXPECT(looked < slots_.size(), "more operations in flight than the graph has");
    ticket = (ticket + 1) % static_cast<Ticket>(slots_.size());
  }
  next_slot_ = (ticket + 1) % static_cast<Ticket>(slots_.size());
  Slot& slot = slots_[ticket];
  const bool moves_data = comm.kind != CommKind::barrier;
  slot.stage = Stage::waits_its_turn;
  slot.comm = comm;
  slot.from = moves_data ? buffers.at(graph, comm.from) : nullptr;
  slot.to = moves_data ? buffers.at(graph, comm.to) : nullptr;
  slot.error.clear();
  turn_.push_back(ticket);
  advance();
  return ticket;
}

void NcclFabric::fail(Ticket ticket, const std::string& error) {
  slots_[ticket].stage = Stage::failed;
  slots_[ticket].error = error;
}

NcclCommunicator::State NcclFabric::call(const Slot& slot) {
  NcclGroup& group = *groups_[slot.comm.group.value()];
  NcclCommunicator& comm = group.communicator;
  CUstream_st* stream = group.queue->stream();
  const auto ranks = static_cast<std::size_t>(comm.size());
  const auto count = static_cast<std::size_t>(slot.comm.elements);
  const cuda::NcclType type = nccl_type(slot.comm.dtype);
  switch (slot.comm.kind) {
    case CommKind::all_reduce:
      return comm.all_reduce(slot.from, slot.to, count, type, stream);
    case CommKind::reduce_scatter:
      return comm.reduce_scatter(slot.from, slot.to, count / ranks, type, stream);
    case CommKind::all_gather:
      return comm.all_gather(slot.from, slot.to, count / ranks, type, stream);
    case CommKind::broadcast:
      return comm.broadcast(slot.from, slot.to, count, type, 0, stream);
    case CommKind::all_to_all:
      return comm.all_to_all(slot.from, slot.to, count / ranks, type, stream);
    case CommKind::send_recv: {
      if (comm.size() == 1) {
        group.queue->copy(slot.to, slot.from, slot.comm.bytes());
        return NcclCommunicator::State::ready;
      }
      const int next = (comm.rank() + 1) % comm.size();
      const int previous = (comm.rank() + comm.size() - 1) % comm.size();
      return comm.exchange(slot.from, next, slot.to, previous, count, type, stream);
    }
    case CommKind::barrier:
      return comm.all_reduce(scratch_, scratch_ + kScratchBytes / 2, 1, cuda::NcclType::f32, stream);
  }
  return NcclCommunicator::State::failed;
}

void NcclFabric::entered(Ticket ticket, NcclCommunicator::State state) {
  Slot& slot = slots_[ticket];
  switch (state) {
    case NcclCommunicator::State::in_progress:
      slot.stage = Stage::entering;
      return;
    case NcclCommunicator::State::ready:
      group_of(slot).queue->mark(ticket);
      slot.stage = Stage::on_the_stream;
      return;
    case NcclCommunicator::State::failed:
      fail(ticket, group_of(slot).communicator.error());
      return;
  }
}

void NcclFabric::enter(Ticket ticket) {
  Slot& slot = slots_[ticket];
  try {
    entered(ticket, slot.stage == Stage::entering ? group_of(slot).communicator.poll() : call(slot));
  } catch (const cuda::CudaError& error) {
    fail(ticket, error.what());
  }
}

void NcclFabric::advance() {
  std::fill(held_up_.begin(), held_up_.end(), false);
  for (std::size_t i = 0; i < turn_.size() && !broken_;) {
    const Ticket ticket = turn_[i];
    const Slot& slot = slots_[ticket];
    const std::size_t group = slot.comm.group.value();
    if (!held_up_[group] && slot.stage != Stage::failed)
      enter(ticket);
    if (slot.stage == Stage::on_the_stream) {
      turn_.erase(turn_.begin() + static_cast<std::ptrdiff_t>(i));
      continue;
    }
    // Also after a failure: what other ranks entered in this order cannot be left out here.
    if (order_ == Order::across_groups)
      return;
    held_up_[group] = true;
    ++i;
  }
}

CommState NcclFabric::test(Ticket ticket) {
  LOCKSTEP_EXPECT(ticket < slots_.size() && slots_[ticket].stage != Stage::free,
                  "no operation has this ticket");
  advance();
  Slot& slot = slots_[ticket];
  bool done = false;
  if (slot.stage == Stage::on_the_stream) {
    NcclGroup& group = group_of(slot);
    try {
      done = group.queue->reached(ticket);
    } catch (const cuda::CudaError& error) {
      fail(ticket, error.what());
    }
    if (!done && slot.stage == Stage::on_the_stream &&
        group.communicator.poll() == NcclCommunicator::State::failed)
      fail(ticket, group.communicator.error());
  }
  if (slot.stage == Stage::failed) {
    slot.stage = Stage::free;
    broken_ = true;
    return CommState::failed;
  }
  if (!done)
    return CommState::pending;
  slot.stage = Stage::free;
  return CommState::done;
}

std::string NcclFabric::error_text(Ticket ticket) const {
  LOCKSTEP_EXPECT(ticket < slots_.size(), "no operation had this ticket");
  return slots_[ticket].error;
}

}  // namespace lockstep::fabric
