#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "harness/core/ids.hpp"
#include "harness/cuda/queue.hpp"
#include "harness/mpi/communicator.hpp"
#include "harness/step/backends.hpp"
#include "harness/step/graph.hpp"

namespace lockstep::fabric {

/// Communications by nonblocking MPI operations. f32 and f64.
///
/// | kind           | MPI call                                                                              |
/// |----------------|---------------------------------------------------------------------------------------|
/// | all_reduce     | MPI_Iallreduce                                                                        |
/// | reduce_scatter | MPI_Ireduce_scatter_block                                                             |
/// | all_gather     | MPI_Iallgather                                                                        |
/// | broadcast      | MPI_Ibcast from the first rank of the part, whose `from` is copied to its `to` beside |
/// | all_to_all     | MPI_Ialltoall                                                                         |
/// | send_recv      | MPI_Irecv from the previous rank of the part, MPI_Isend to the next; a lone rank copies
/// | | barrier        | MPI_Ibarrier |
///
/// An MPI call counts its elements in an int. all_reduce, broadcast and send_recv of more than
/// `piece_elements` go as several operations on consecutive pieces, under one ticket; a reduce_scatter,
/// all_gather or all_to_all whose total is beyond an int is refused, since its blocks cannot be cut without
/// copying.
///
/// Sharp edge: MPI progresses inside test() only. After an operation failed the communicators are in no known
/// state: end the process without further communication.
class MpiFabric final : public step::FabricBackend {
 public:
  struct Options {
    double set_up_deadline_s = 60.0;                    ///< for making the groups' communicators
    std::size_t piece_elements = std::size_t{1} << 30;  ///< at most mpi::Communicator::max_count()
    /// For buffers that are not on the host, and an MPI that takes them: a queue of their device with a mark
    /// for every communication of the graph. Outlives the fabric.
    cuda::Queue* queue = nullptr;
    std::string name = "mpi";
  };

  /// Collective over `leg`, whose ranks are the graph's RankIds: makes one communicator for each group that
  /// some op uses. `graph` must be the one given to start(), the same on every rank. Throws InputError for a
  /// dtype or a size that cannot be sent, mpi::DeadlineError, mpi::MpiError.
  MpiFabric(const step::StepGraph& graph, const mpi::Communicator& leg, const Options& options);

  Ticket start(const step::Comm& comm, const step::StepGraph& graph, step::BufferSet& buffers) override;
  step::CommState test(Ticket ticket) override;
  [[nodiscard]] std::string error_text(Ticket ticket) const override;
  [[nodiscard]] std::string name() const override { return options_.name; }

 private:
  /// One operation in flight. Its requests are allocated once, for as many pieces as the largest op has.
  struct Slot {
    std::vector<mpi::Request> requests;
    std::size_t used = 0;  ///< requests of the operation under way
    std::size_t done = 0;  ///< of these, complete; always the first ones
    bool busy = false;
    bool copying = false;  ///< on the queue, up to the slot's mark
    std::string error;
  };

  [[nodiscard]] std::size_t pieces(std::uint64_t elements) const;
  [[nodiscard]] std::size_t requests_of(const step::Comm& comm) const;
  void check_op(const step::Op& op, const step::Comm& comm, const step::StepGraph& graph) const;
  Ticket take_slot();
  void enter(Slot& slot, const step::Comm& comm, const std::byte* from, std::byte* to);
  void copy_here(Slot& slot, std::byte* to, const std::byte* from, std::size_t bytes);
  [[nodiscard]] bool is_copied(Slot& slot);
  void enter_pieces(Slot& slot, const step::Comm& comm, const std::byte* from, std::byte* to);

  Options options_;
  std::vector<std::optional<mpi::Communicator>> groups_;  // by GroupId; empty for a group that no op uses
  std::vector<Slot> slots_;
  std::size_t next_slot_ = 0;
};

}  // namespace lockstep::fabric
