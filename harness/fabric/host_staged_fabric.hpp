#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "harness/core/ids.hpp"
#include "harness/cuda/queue.hpp"
#include "harness/step/backends.hpp"

namespace lockstep::fabric {

/// Bytes of a communication that this rank sends from `from` and that it receives at `to`.
struct CommBytes {
  std::uint64_t from = 0;
  std::uint64_t to = 0;
};
/// `ranks`: of the part.
[[nodiscard]] CommBytes bytes_of_ends(const step::Comm& comm, std::uint64_t ranks);

/// Sends device memory through a fabric that knows host memory only: device to host, the operation, host to
/// device. The host side is a second BufferSet of the same graph, in pinned memory.
///
/// The stages of one operation follow each other; those of different operations overlap. The inner operations
/// are begun in the order of start(), whichever copy ends first: that order is the same on every rank.
class HostStagedFabric final : public step::FabricBackend {
 public:
  /// What it needs besides the fabric itself.
  struct Parts {
    std::unique_ptr<step::FabricBackend> inner;  ///< made for the same graph
    std::unique_ptr<step::Memory> host_memory;   ///< of `host`
    std::unique_ptr<step::BufferSet> host;
    /// Queues of the device with a mark for each communication of the graph; copies of the two directions do
    /// not wait for each other.
    std::unique_ptr<cuda::Queue> down;
    std::unique_ptr<cuda::Queue> up;
  };
  HostStagedFabric(const step::StepGraph& graph, RankId self, Parts parts);

  Ticket start(const step::Comm& comm, const step::StepGraph& graph, step::BufferSet& buffers) override;
  step::CommState test(Ticket ticket) override;
  [[nodiscard]] std::string error_text(Ticket ticket) const override;
  [[nodiscard]] std::string name() const override { return "host-staged " + parts_.inner->name(); }
  void abandon() noexcept override { parts_.inner->abandon(); }

 private:
  enum class Stage { free, to_host, waits_its_turn, on_the_wire, to_device, done, failed };
  struct Slot {
    Stage stage = Stage::free;
    step::Comm comm;
    const step::StepGraph* graph = nullptr;
    step::BufferSet* buffers = nullptr;
    Ticket inner = 0;
    std::string error;
  };

  [[nodiscard]] CommBytes ends(const step::Comm& comm) const;
  void advance(Ticket ticket);
  void begin_inner();
  void begin_up(Ticket ticket);
  template <class Work>
  void try_device(Slot& slot, Work&& work);

  Parts parts_;
  std::vector<std::uint64_t> ranks_;  // of this rank's part, by GroupId
  std::vector<Slot> slots_;
  std::vector<Ticket> turn_;  // tickets whose inner operation has not begun, in order of start()
  Ticket next_slot_ = 0;
};

}  // namespace lockstep::fabric
