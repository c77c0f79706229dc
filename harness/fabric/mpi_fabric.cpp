#include "harness/fabric/mpi_fabric.hpp"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include "harness/core/error.hpp"
#include "harness/cuda/device.hpp"
#include "harness/mpi/error.hpp"

namespace lockstep::fabric {
namespace {

using step::Comm;
using step::CommKind;
using step::CommState;
using step::Dtype;
using step::StepGraph;

constexpr int kTag = 1;  // one per communicator is enough: messages of one pair keep their order

std::optional<mpi::DataType> data_type(Dtype dtype) {
  switch (dtype) {
    case Dtype::f32:
      return mpi::DataType::f32;
    case Dtype::f64:
      return mpi::DataType::f64;
    case Dtype::bf16:
    case Dtype::f16:
    case Dtype::e4m3:
    case Dtype::e5m2:
      return std::nullopt;
  }
  return std::nullopt;
}

bool is_cut_in_blocks(CommKind kind) {
  return kind == CommKind::reduce_scatter || kind == CommKind::all_gather || kind == CommKind::all_to_all;
}

/// Which part of the group the rank is in, and where.
struct Place {
  int part = 0;
  int position = 0;
};

Place place_of(const step::Group& group, RankId self) {
  for (std::size_t part = 0; part < group.parts.size(); ++part) {
    const auto& ranks = group.parts[part];
    const auto found = std::find(ranks.begin(), ranks.end(), self);
    if (found != ranks.end())
      return {static_cast<int>(part), static_cast<int>(found - ranks.begin())};
  }
  LOCKSTEP_EXPECT(false, "rank in no part of group " + group.name);
  return {};
}

}  // namespace

MpiFabric::MpiFabric(const StepGraph& graph, const mpi::Communicator& leg, const Options& options)
    : options_(options) {
  LOCKSTEP_EXPECT(options.piece_elements > 0 && options.piece_elements <= mpi::Communicator::max_count(),
                  "a piece must fit one MPI call");
  std::vector<bool> used(graph.groups.size(), false);
  std::size_t most_requests = 1;
  const std::vector<OpId> ops = graph.comm_ops();
  for (const OpId id : ops) {
    const auto& comm = std::get<Comm>(graph.op(id).work);
    check_op(graph.op(id), comm, graph);
    used[comm.group.value()] = true;
    most_requests = std::max(most_requests, requests_of(comm));
  }

  const RankId self(static_cast<std::uint32_t>(leg.rank()));
  groups_.resize(graph.groups.size());
  for (std::size_t i = 0; i < graph.groups.size(); ++i) {
    if (!used[i])
      continue;
    const Place place = place_of(graph.groups[i], self);
    groups_[i] = leg.split(place.part, place.position, options.set_up_deadline_s);
    LOCKSTEP_EXPECT(static_cast<std::size_t>(groups_[i]->size()) ==
                        graph.groups[i].parts[static_cast<std::size_t>(place.part)].size(),
                    "the leg lacks ranks of group " + graph.groups[i].name);
  }

  // Every op of a step can be in flight at once, and no more.
  slots_.resize(std::max<std::size_t>(1, ops.size()));
  for (Slot& slot : slots_)
    slot.requests.resize(most_requests);
}

std::size_t MpiFabric::pieces(std::uint64_t elements) const {
  return std::max<std::size_t>(1, (elements + options_.piece_elements - 1) / options_.piece_elements);
}

std::size_t MpiFabric::requests_of(const Comm& comm) const {
  switch (comm.kind) {
    case CommKind::all_reduce:
    case CommKind::broadcast:
      return pieces(comm.elements);
    case CommKind::send_recv:
      return 2 * pieces(comm.elements);
    default:
      return 1;
  }
}

void MpiFabric::check_op(const step::Op& op, const Comm& comm, const StepGraph& graph) const {
  if (comm.kind == CommKind::barrier)
    return;
  if (!data_type(comm.dtype)) {
    throw InputError({.what = fmt::format("op '{}' sends {}", op.name, to_string(comm.dtype)),
                      .why = fmt::format("the {} fabric sends f32 and f64", options_.name),
                      .suggestion = "use one of these for what is communicated",
                      .file = {}});
  }
  if (!is_cut_in_blocks(comm.kind))
    return;
  if (comm.elements > mpi::Communicator::max_count()) {
    throw InputError({.what = fmt::format("op '{}' has {} elements", op.name, comm.elements),
                      .why = fmt::format("MPI counts a {} in a 32-bit integer", to_string(comm.kind)),
                      .suggestion = "split it into several smaller ops",
                      .file = {}});
  }
  for (const auto& part : graph.group(comm.group).parts)
    LOCKSTEP_EXPECT(comm.elements % part.size() == 0,
                    "elements do not divide among the ranks of op " + op.name);
}

step::FabricBackend::Ticket MpiFabric::take_slot() {
  for (std::size_t looked = 0; looked < slots_.size(); ++looked) {
    const std::size_t index = next_slot_;
    next_slot_ = (next_slot_ + 1) % slots_.size();
    if (!slots_[index].busy)
      return static_cast<Ticket>(index);
  }
  LOCKSTEP_EXPECT(false, "more operations in flight than the graph has");
  return 0;
}

step::FabricBackend::Ticket MpiFabric::start(const Comm& comm, const StepGraph& graph,
                                             step::BufferSet& buffers) {
  const Ticket ticket = take_slot();
  Slot& slot = slots_[ticket];
  slot.busy = true;
  slot.used = 0;
  slot.done = 0;
  slot.copying = false;
  slot.error.clear();
  const bool moves_data = comm.kind != CommKind::barrier;
  LOCKSTEP_EXPECT(buffers.memory().on_host() == (options_.queue == nullptr),
                  "buffers on a device, and on no other place, are sent with a queue of that device");
  try {
    enter(slot, comm, moves_data ? buffers.at(graph, comm.from) : nullptr,
          moves_data ? buffers.at(graph, comm.to) : nullptr);
  } catch (const mpi::MpiError& error) {
    slot.error = error.what();  // an event on the fabric, told by test()
  } catch (const cuda::CudaError& error) {
    slot.error = error.what();
  }
  return ticket;
}

void MpiFabric::copy_here(Slot& slot, std::byte* to, const std::byte* from, std::size_t bytes) {
  if (options_.queue == nullptr) {
    std::memcpy(to, from, bytes);
    return;
  }
  options_.queue->copy(to, from, bytes);
  options_.queue->mark(static_cast<std::size_t>(&slot - slots_.data()));
  slot.copying = true;
}

bool MpiFabric::is_copied(Slot& slot) {
  if (!slot.copying)
    return true;
  try {
    slot.copying = !options_.queue->reached(static_cast<std::size_t>(&slot - slots_.data()));
  } catch (const cuda::CudaError& error) {
    slot.error = error.what();
    slot.copying = false;
  }
  return !slot.copying;
}

void MpiFabric::enter(Slot& slot, const Comm& comm, const std::byte* from, std::byte* to) {
  const mpi::Communicator& group = *groups_[comm.group.value()];
  const auto block = [&] {
    return static_cast<std::size_t>(comm.elements) / static_cast<std::size_t>(group.size());
  };
  switch (comm.kind) {
    case CommKind::barrier:
      slot.requests[slot.used++] = group.start_barrier();
      return;
    case CommKind::reduce_scatter:
      slot.requests[slot.used++] = group.start_reduce_scatter(from, to, block(), *data_type(comm.dtype));
      return;
    case CommKind::all_gather:
      slot.requests[slot.used++] = group.start_all_gather(from, to, block(), *data_type(comm.dtype));
      return;
    case CommKind::all_to_all:
      slot.requests[slot.used++] = group.start_all_to_all(from, to, block(), *data_type(comm.dtype));
      return;
    case CommKind::all_reduce:
    case CommKind::broadcast:
    case CommKind::send_recv:
      enter_pieces(slot, comm, from, to);
      return;
  }
}

void MpiFabric::enter_pieces(Slot& slot, const Comm& comm, const std::byte* from, std::byte* to) {
  const mpi::Communicator& group = *groups_[comm.group.value()];
  const mpi::DataType type = *data_type(comm.dtype);
  const bool copies = comm.kind == CommKind::broadcast
                          ? group.rank() == 0
                          : comm.kind == CommKind::send_recv && group.size() == 1;
  if (copies && comm.elements > 0)
    copy_here(slot, to, from, comm.bytes());
  if (comm.kind == CommKind::send_recv && group.size() == 1)
    return;
  const int next = (group.rank() + 1) % group.size();
  const int previous = (group.rank() + group.size() - 1) % group.size();
  const std::size_t width = bytes_of(comm.dtype);
  for (std::uint64_t first = 0; first < comm.elements; first += options_.piece_elements) {
    const auto count = std::min<std::uint64_t>(options_.piece_elements, comm.elements - first);
    const std::byte* const piece_from = from + first * width;
    std::byte* const piece_to = to + first * width;
    switch (comm.kind) {
      case CommKind::all_reduce:
        slot.requests[slot.used++] = group.start_all_reduce(piece_from, piece_to, count, type);
        break;
      case CommKind::broadcast:
        // MPI only reads on the root, so the copy there need not come first.
        slot.requests[slot.used++] =
            group.start_broadcast(copies ? const_cast<std::byte*>(piece_from) : piece_to, count, type, 0);
        break;
      default:
        slot.requests[slot.used++] = group.start_receive(piece_to, count, type, previous, kTag);
        slot.requests[slot.used++] = group.start_send(piece_from, count, type, next, kTag);
        break;
    }
  }
}

CommState MpiFabric::test(Ticket ticket) {
  LOCKSTEP_EXPECT(ticket < slots_.size() && slots_[ticket].busy, "no operation has this ticket");
  Slot& slot = slots_[ticket];
  // Requests are looked at in order; MPI makes progress on all of them whichever is looked at.
  while (slot.done < slot.used) {
    try {
      if (!slot.requests[slot.done].test())
        break;
    } catch (const mpi::MpiError& error) {
      // Goes on: what else of the op has ended is still taken off the transport's hands.
      slot.error = error.what();
    }
    ++slot.done;
  }
  const bool copied = is_copied(slot);
  if (slot.error.empty() && (slot.done < slot.used || !copied))
    return CommState::pending;
  slot.busy = false;
  return slot.error.empty() ? CommState::done : CommState::failed;
}

std::string MpiFabric::error_text(Ticket ticket) const {
  LOCKSTEP_EXPECT(ticket < slots_.size(), "no operation had this ticket");
  return slots_[ticket].error;
}

}  // namespace lockstep::fabric
