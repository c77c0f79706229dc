#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "harness/core/ids.hpp"
#include "harness/cuda/queue.hpp"
#include "harness/fabric/buffer_places.hpp"
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
/// device. The host side is the step::BufferSet that is given to start(), in which the same buffers exist.
///
/// The stages of one operation follow each other; those of different operations overlap. The inner operations
/// are begun in the order of start(), whichever copy ends first: that order is the same on every rank.
class HostStagedFabric final : public step::FabricBackend {
 public:
  /// `inner` is made for `graph`. `down` and `up` are queues of the device with a mark for each communication
  /// of the graph: copies of the two directions do not wait for each other. Those and `places` outlive it.
  HostStagedFabric(const step::StepGraph& graph, RankId self, std::unique_ptr<step::FabricBackend> inner,
                   BufferPlaces& places, cuda::Queue& down, cuda::Queue& up);

  Ticket start(const step::Comm& comm, const step::StepGraph& graph, step::BufferSet& buffers) override;
  step::CommState test(Ticket ticket) override;
  [[nodiscard]] std::string error_text(Ticket ticket) const override;
  [[nodiscard]] std::string name() const override { return "host-staged " + inner_->name(); }
  void abandon() noexcept override { inner_->abandon(); }

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

  std::unique_ptr<step::FabricBackend> inner_;
  BufferPlaces& places_;
  cuda::Queue& down_;
  cuda::Queue& up_;
  std::vector<std::uint64_t> ranks_;  // of this rank's part, by GroupId
  std::vector<Slot> slots_;
  std::vector<Ticket> turn_;  // tickets whose inner operation has not begun, in order of start()
  Ticket next_slot_ = 0;
};

}  // namespace lockstep::fabric
