#pragma once

#include <cstdint>
#include <memory>
#include <utility>

#include <mpi.h>

#include "harness/mpi/wait.hpp"

namespace lockstep::mpi {

/// A nonblocking operation under way.
///
/// Sharp edge: MPI cannot take back a collective. A request destroyed while pending is *abandoned*: the
/// transport may still write to its buffers. Buffers that the request owns are then kept for ever; all others
/// must outlive the process's use of MPI. From then on no communicator is freed and MPI is not finalized (see
/// Environment), since either could wait for ever.
class Request {
 public:
  /// Complete from the start.
  Request() = default;
  /// Takes over `handle`, which `call` (a string literal) returned. `buffers` live as long as the operation
  /// does.
  Request(MPI_Request handle, const char* call, std::shared_ptr<void> buffers = {});
  Request(Request&& other) noexcept;
  Request& operator=(Request&& other) noexcept;
  ~Request();

  /// Gives the request memory to keep until the operation is complete.
  void own(std::shared_ptr<void> buffers) { buffers_ = std::move(buffers); }

  [[nodiscard]] bool is_pending() const { return handle_ != MPI_REQUEST_NULL; }
  /// Makes progress; true when the operation is complete. Never waits, never allocates on success. Throws
  /// MpiError when the operation failed; the request is complete then.
  bool test();
  /// Waits. Throws DeadlineError, with the request still pending and usable; MpiError as test() does.
  void wait(const Deadline& deadline, WaitStyle style = WaitStyle::patient);
  void wait(double deadline_s, WaitStyle style = WaitStyle::patient) { wait(Deadline(deadline_s), style); }
  /// Takes back a receive that nothing was sent to. Not for sends or collectives.
  void cancel_receive(double deadline_s);

 private:
  void abandon() noexcept;
  MPI_Request handle_ = MPI_REQUEST_NULL;
  const char* call_ = "";
  std::shared_ptr<void> buffers_;
};

/// Requests of this process that were abandoned.
[[nodiscard]] std::uint64_t abandoned_requests() noexcept;

}  // namespace lockstep::mpi
