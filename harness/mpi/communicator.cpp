#include "harness/mpi/communicator.hpp"

#include <exception>
#include <limits>
#include <utility>

#include "harness/core/error.hpp"
#include "harness/mpi/error.hpp"

namespace lockstep::mpi {
namespace {

MPI_Datatype native(DataType type) {
  switch (type) {
    case DataType::u8:
      return MPI_BYTE;
    case DataType::i64:
      return MPI_INT64_T;
    case DataType::u64:
      return MPI_UINT64_T;
    case DataType::f32:
      return MPI_FLOAT;
    case DataType::f64:
      return MPI_DOUBLE;
  }
  return MPI_DATATYPE_NULL;
}

MPI_Op native(Reduction reduction) {
  switch (reduction) {
    case Reduction::sum:
      return MPI_SUM;
    case Reduction::min:
      return MPI_MIN;
    case Reduction::max:
      return MPI_MAX;
  }
  return MPI_OP_NULL;
}

int native_count(std::size_t count) {
  LOCKSTEP_EXPECT(count <= Communicator::max_count(), "more elements than one MPI call can count");
  return static_cast<int>(count);
}

}  // namespace

Communicator::Communicator(MPI_Comm handle, Ownership ownership) : handle_(handle), ownership_(ownership) {
  check(MPI_Comm_rank(handle, &rank_), "MPI_Comm_rank");
  check(MPI_Comm_size(handle, &size_), "MPI_Comm_size");
}

Communicator Communicator::world() {
  return {MPI_COMM_WORLD, Ownership::borrowed};
}

Communicator::Communicator(Communicator&& other) noexcept
    : handle_(std::exchange(other.handle_, MPI_COMM_NULL)),
      ownership_(other.ownership_),
      rank_(other.rank_),
      size_(other.size_) {}

Communicator& Communicator::operator=(Communicator&& other) noexcept {
  if (this != &other) {
    free();
    handle_ = std::exchange(other.handle_, MPI_COMM_NULL);
    ownership_ = other.ownership_;
    rank_ = other.rank_;
    size_ = other.size_;
  }
  return *this;
}

Communicator::~Communicator() {
  free();
}

void Communicator::free() noexcept {
  if (handle_ == MPI_COMM_NULL || ownership_ == Ownership::borrowed)
    return;
  int finalized = 0;
  if (MPI_Finalized(&finalized) != MPI_SUCCESS || finalized != 0)
    return;
  if (std::uncaught_exceptions() > 0 || abandoned_requests() > 0)
    return;
  // An error leaves the communicator behind, which costs memory only.
  static_cast<void>(MPI_Comm_free(&handle_));
}

Communicator Communicator::split(int color, int key, double deadline_s) const {
  LOCKSTEP_EXPECT(color >= 0, "colors are not negative");
  start_barrier().wait(deadline_s);
  MPI_Comm made = MPI_COMM_NULL;
  check(MPI_Comm_split(handle_, color, key, &made), "MPI_Comm_split");
  return {made, Ownership::owned};
}

Communicator Communicator::duplicate(double deadline_s) const {
  // MPI writes the handle when the operation completes, which may be after we gave up.
  auto made = std::make_shared<MPI_Comm>(MPI_COMM_NULL);
  MPI_Request request = MPI_REQUEST_NULL;
  check(MPI_Comm_idup(handle_, made.get(), &request), "MPI_Comm_idup");
  Request(request, "MPI_Comm_idup", made).wait(deadline_s);
  return {*made, Ownership::owned};
}

std::size_t Communicator::max_count() {
  return static_cast<std::size_t>(std::numeric_limits<int>::max());
}

// The request is taken over by an object that is waited for elsewhere, which the analyzer cannot see.
// NOLINTBEGIN(clang-analyzer-optin.mpi.MPI-Checker)

Request Communicator::start_barrier() const {
  MPI_Request request = MPI_REQUEST_NULL;
  check(MPI_Ibarrier(handle_, &request), "MPI_Ibarrier");
  return {request, "MPI_Ibarrier"};
}

Request Communicator::start_all_reduce(const void* from, void* to, std::size_t count, DataType type,
                                       Reduction reduction) const {
  MPI_Request request = MPI_REQUEST_NULL;
  check(MPI_Iallreduce(from, to, native_count(count), native(type), native(reduction), handle_, &request),
        "MPI_Iallreduce");
  return {request, "MPI_Iallreduce"};
}

Request Communicator::start_reduce_scatter(const void* from, void* to, std::size_t block, DataType type,
                                           Reduction reduction) const {
  MPI_Request request = MPI_REQUEST_NULL;
  check(MPI_Ireduce_scatter_block(from, to, native_count(block), native(type), native(reduction), handle_,
                                  &request),
        "MPI_Ireduce_scatter_block");
  return {request, "MPI_Ireduce_scatter_block"};
}

Request Communicator::start_all_gather(const void* from, void* to, std::size_t block, DataType type) const {
  MPI_Request request = MPI_REQUEST_NULL;
  const int count = native_count(block);
  check(MPI_Iallgather(from, count, native(type), to, count, native(type), handle_, &request),
        "MPI_Iallgather");
  return {request, "MPI_Iallgather"};
}

Request Communicator::start_broadcast(void* data, std::size_t count, DataType type, int root) const {
  MPI_Request request = MPI_REQUEST_NULL;
  check(MPI_Ibcast(data, native_count(count), native(type), root, handle_, &request), "MPI_Ibcast");
  return {request, "MPI_Ibcast"};
}

Request Communicator::start_all_to_all(const void* from, void* to, std::size_t block, DataType type) const {
  MPI_Request request = MPI_REQUEST_NULL;
  const int count = native_count(block);
  check(MPI_Ialltoall(from, count, native(type), to, count, native(type), handle_, &request),
        "MPI_Ialltoall");
  return {request, "MPI_Ialltoall"};
}

Request Communicator::start_send(const void* from, std::size_t count, DataType type, int to_rank,
                                 int tag) const {
  MPI_Request request = MPI_REQUEST_NULL;
  check(MPI_Isend(from, native_count(count), native(type), to_rank, tag, handle_, &request), "MPI_Isend");
  return {request, "MPI_Isend"};
}

Request Communicator::start_receive(void* to, std::size_t count, DataType type, int from_rank,
                                    int tag) const {
  MPI_Request request = MPI_REQUEST_NULL;
  check(MPI_Irecv(to, native_count(count), native(type), from_rank, tag, handle_, &request), "MPI_Irecv");
  return {request, "MPI_Irecv"};
}

// NOLINTEND(clang-analyzer-optin.mpi.MPI-Checker)

}  // namespace lockstep::mpi
