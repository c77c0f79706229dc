#include "harness/mpi/request.hpp"

#include <atomic>
#include <utility>

#include "harness/mpi/error.hpp"

namespace lockstep::mpi {
namespace {

std::atomic<std::uint64_t>& abandoned_count() noexcept {
  static std::atomic<std::uint64_t> count{0};
  return count;
}

}  // namespace

std::uint64_t abandoned_requests() noexcept {
  return abandoned_count().load();
}

Request::Request(MPI_Request handle, const char* call, std::shared_ptr<void> buffers)
    : handle_(handle), call_(call), buffers_(std::move(buffers)) {}

Request::Request(Request&& other) noexcept
    : handle_(std::exchange(other.handle_, MPI_REQUEST_NULL)),
      call_(other.call_),
      buffers_(std::move(other.buffers_)) {}

Request& Request::operator=(Request&& other) noexcept {
  if (this != &other) {
    abandon();
    handle_ = std::exchange(other.handle_, MPI_REQUEST_NULL);
    call_ = other.call_;
    buffers_ = std::move(other.buffers_);
  }
  return *this;
}

Request::~Request() {
  abandon();
}

void Request::abandon() noexcept {
  if (!is_pending())
    return;
  ++abandoned_count();
  handle_ = MPI_REQUEST_NULL;
  if (buffers_) {
    // Kept for ever on purpose: the transport may write here until the process ends. Reachable, so that a
    // leak checker knows it is meant.
    struct Kept {
      std::shared_ptr<void> buffers;
      Kept* next = nullptr;
    };
    static std::atomic<Kept*> all_kept{nullptr};
    auto* kept = new (std::nothrow) Kept{buffers_, nullptr};
    if (kept == nullptr)
      return;  // out of memory: the buffers go with us, which is all that is left to do
    kept->next = all_kept.load();
    while (!all_kept.compare_exchange_weak(kept->next, kept)) {
    }
    buffers_.reset();
  }
}

bool Request::test() {
  if (!is_pending())
    return true;
  int complete = 0;
  const int code = MPI_Test(&handle_, &complete, MPI_STATUS_IGNORE);
  if (code != MPI_SUCCESS) [[unlikely]] {
    handle_ = MPI_REQUEST_NULL;
    throw MpiError(call_, code);
  }
  if (complete == 0)
    return false;
  handle_ = MPI_REQUEST_NULL;
  buffers_.reset();
  return true;
}

void Request::wait(const Deadline& deadline, WaitStyle style) {
  Backoff backoff(style);
  while (!test()) {
    if (deadline.passed())
      throw DeadlineError(call_, deadline.seconds());
    backoff.pause();
  }
}

void Request::cancel_receive(double deadline_s) {
  if (!is_pending())
    return;
  check(MPI_Cancel(&handle_), "MPI_Cancel");
  wait(deadline_s);
}

}  // namespace lockstep::mpi
