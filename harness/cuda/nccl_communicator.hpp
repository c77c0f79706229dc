#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "harness/core/error.hpp"
#include "harness/cuda/bounded_call.hpp"
#include "harness/cuda/nccl_api.hpp"

namespace lockstep::cuda {

/// NCCL refused something, or did not come to an end of it in time.
class NcclError : public RunError {
 public:
  /// `what` names the call, `why` is NCCL's own text.
  NcclError(std::string what, std::string why, std::string suggestion = {});
};

/// Makes what the ranks of one new communicator need in common; for one of them, to be handed to the others.
/// Throws NcclError.
[[nodiscard]] NcclId make_nccl_id(const NcclApi& api);

/// A group of ranks that communicate through NCCL. Never blocking: a call enters its operation and says
/// whether that has happened yet, and every wait has a deadline.
///
/// Sharp edge: while poll() says in_progress, nothing else may be asked of the communicator, and nothing else
/// may be put on the stream that the operation goes to (NCCL refuses the first and reorders the second).
class NcclCommunicator {
 public:
  enum class State {
    ready,        ///< all that was entered is on its stream
    in_progress,  ///< NCCL is still busy with the last call
    failed,       ///< see error(); only abort() is left to do
  };

  /// Meets the other `ranks` - 1, all of which were given `id`. Uses the device that is current. Throws
  /// NcclError when NCCL refuses, or when not all have come within `deadline_s`; what had begun is aborted.
  NcclCommunicator(const NcclApi& api, const NcclId& id, int ranks, int rank, const NcclSettings& settings,
                   double deadline_s);
  NcclCommunicator(NcclCommunicator&& other) noexcept;
  NcclCommunicator& operator=(NcclCommunicator&& other) noexcept;
  /// Aborts, and waits kAbortWaitS for that at most.
  ~NcclCommunicator();

  /// The ranks with the same `color` (not negative), ordered by `key`, then by rank: of `ranks`, as `rank`.
  /// Every rank of this communicator calls it, at the same point of its sequence. Throws as the constructor.
  [[nodiscard]] NcclCommunicator split(int color, int key, int ranks, int rank, const NcclSettings& settings,
                                       double deadline_s);

  [[nodiscard]] int rank() const { return rank_; }
  [[nodiscard]] int size() const { return size_; }

  /// Asks NCCL how it is: for the last call, and for anything that has gone wrong since.
  State poll();
  /// What went wrong, as NCCL says it; empty: nothing did.
  [[nodiscard]] const std::string& error() const { return error_; }

  // Each enters one operation of all ranks; counts are elements, and memory is the device's. `from` and `to`
  // never overlap. reduce_scatter: `from` holds size() blocks; all_gather: `to` does; all_to_all: both do.
  State all_reduce(const void* from, void* to, std::size_t count, NcclType type, CUstream_st* stream);
  State reduce_scatter(const void* from, void* to, std::size_t block, NcclType type, CUstream_st* stream);
  State all_gather(const void* from, void* to, std::size_t block, NcclType type, CUstream_st* stream);
  State broadcast(const void* from, void* to, std::size_t count, NcclType type, int root,
                  CUstream_st* stream);
  /// Sends and receives in one NCCL group, since NCCL before 2.28 has no such operation.
  State all_to_all(const void* from, void* to, std::size_t block, NcclType type, CUstream_st* stream);
  /// To one rank and from another, in one NCCL group.
  State exchange(const void* from, int to_rank, void* to, int from_rank, std::size_t count, NcclType type,
                 CUstream_st* stream);

  /// Takes leave of the other ranks, who do the same: nothing may be in flight. False when that did not end
  /// within `deadline_s`; the communicator is aborted then.
  bool finalize(double deadline_s) noexcept;
  /// Ends whatever is in flight on this rank, without the others. Nothing when there is nothing to abort.
  /// ncclCommAbort may never return (nccl#863): hence a call that can be left behind.
  [[nodiscard]] std::optional<BoundedCall> begin_abort() noexcept;

  static constexpr double kAbortWaitS = 1.0;

 private:
  struct Cell;
  NcclCommunicator(const NcclApi& api, int ranks, int rank);
  [[nodiscard]] ncclComm* handle() const noexcept;
  State took(const char* call, int code);
  State fail(const std::string& call, int code);
  void await_ready(const char* call, double deadline_s);
  template <class Calls>
  State grouped(const char* call, Calls&& calls);

  const NcclApi* api_;
  std::shared_ptr<Cell> cell_;  // NCCL writes the handle there, perhaps when this object is gone
  int size_ = 0;
  int rank_ = 0;
  int code_ = 0;  // of the first error
  std::string error_;
};

/// Aborts all of them side by side. Returns how many did not come back within `wait_s`.
std::size_t abort_all(std::vector<NcclCommunicator*> communicators, double wait_s) noexcept;

}  // namespace lockstep::cuda
