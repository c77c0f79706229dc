#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "harness/core/ids.hpp"
#include "harness/cuda/nccl_communicator.hpp"
#include "harness/cuda/queue.hpp"
#include "harness/step/backends.hpp"
#include "harness/step/graph.hpp"

namespace lockstep::fabric {

/// One group of the graph, as this rank takes part in it.
struct NcclGroup {
  cuda::NcclCommunicator communicator;
  std::unique_ptr<cuda::Queue> queue;  ///< with a mark for each communication of the graph
};

/// Communications by NCCL, between device memories. All dtypes of a graph.
///
/// | kind           | NCCL call                                                                           |
/// |----------------|-------------------------------------------------------------------------------------|
/// | all_reduce, reduce_scatter, all_gather | the operation of that name                                  |
/// | broadcast      | ncclBroadcast from the first rank of the part                                       |
/// | all_to_all     | ncclSend and ncclRecv with every rank of the part, in one NCCL group                |
/// | send_recv      | ncclSend to the next rank, ncclRecv from the previous one; a lone rank copies       |
/// | barrier        | ncclAllReduce of one element (NCCL has no barrier)                                  |
///
/// Each group has a communicator and a stream of its own, so that a long reduction between sites does not
/// hold up a short one inside a site. Operations are entered in the order of start(), which Order makes more
/// precise: the next one is entered when NCCL has put the one before on its stream. An operation is complete
/// when the mark behind it is reached; until then each look also asks NCCL for asynchronous errors.
///
/// Sharp edge: a peer's death may raise no error (nccl#279); the executor's deadlines are what ends the wait.
/// After a failure call abandon() and end the process.
class NcclFabric final : public step::FabricBackend {
 public:
  /// What waits for what before it is entered.
  enum class Order {
    across_groups,  ///< for all before it, as NCCL asks of concurrent communicators: all ranks have one order
    /// For those of its group alone, where ranks have one order in each group only, as in the phases of a
    /// hierarchy. A communicator connects its ranks when an algorithm is first used, and stays in progress
    /// until all of them have come to that operation: two groups that wait for each other would never end.
    within_groups,
  };
  /// `groups`: by GroupId, empty for a group that no op uses. `memory`: of the device, for what a barrier
  /// sends; outlives it. Throws CudaError.
  NcclFabric(const step::StepGraph& graph, RankId self, std::vector<std::optional<NcclGroup>> groups,
             step::Memory& memory, Order order = Order::across_groups);
  /// Takes leave of the other ranks when all went well, else aborts; waits a few seconds at most.
  ~NcclFabric() override;
  NcclFabric(const NcclFabric&) = delete;
  NcclFabric& operator=(const NcclFabric&) = delete;

  /// Takes over a communicator that is not used any more, but that those of the groups came from; it goes
  /// with them.
  void keep(cuda::NcclCommunicator parent) { parent_.emplace(std::move(parent)); }

  Ticket start(const step::Comm& comm, const step::StepGraph& graph, step::BufferSet& buffers) override;
  step::CommState test(Ticket ticket) override;
  [[nodiscard]] std::string error_text(Ticket ticket) const override;
  [[nodiscard]] std::string name() const override { return "nccl"; }
  /// Aborts all communicators, and waits NcclCommunicator::kAbortWaitS for that at most.
  void abandon() noexcept override;
  /// Communicators whose abort did not come back, after abandon().
  [[nodiscard]] std::size_t left_behind() const { return left_behind_; }

 private:
  enum class Stage { free, waits_its_turn, entering, on_the_stream, failed };
  struct Slot {
    Stage stage = Stage::free;
    step::Comm comm;
    std::byte* from = nullptr;
    std::byte* to = nullptr;
    std::string error;
  };

  void leave() noexcept;
  void advance();
  void enter(Ticket ticket);
  void entered(Ticket ticket, cuda::NcclCommunicator::State state);
  void fail(Ticket ticket, const std::string& error);
  [[nodiscard]] cuda::NcclCommunicator::State call(const Slot& slot);
  [[nodiscard]] NcclGroup& group_of(const Slot& slot) { return *groups_[slot.comm.group.value()]; }

  std::optional<cuda::NcclCommunicator> parent_;
  std::vector<std::optional<NcclGroup>> groups_;
  step::Memory& memory_;
  Order order_;
  std::byte* scratch_ = nullptr;
  std::vector<Slot> slots_;
  std::vector<Ticket> turn_;   // tickets that are not yet on their stream, in order of start()
  std::vector<bool> held_up_;  // by GroupId, while turn_ is looked through
  Ticket next_slot_ = 0;
  std::size_t left_behind_ = 0;
  bool broken_ = false;  // an operation has failed
  bool abandoned_ = false;
};

/// Name of a graph's dtype in NCCL.
[[nodiscard]] cuda::NcclType nccl_type(step::Dtype dtype);

}  // namespace lockstep::fabric
