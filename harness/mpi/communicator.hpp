#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include <mpi.h>

#include "harness/mpi/request.hpp"

namespace lockstep::mpi {

enum class DataType { u8, i64, u64, f32, f64 };
enum class Reduction { sum, min, max };

/// A group of ranks that communicate with each other alone. Ranks count from 0, as MPI's do.
///
/// The start_* calls enter an operation and return at once: `from` and `to` must stay alive and untouched
/// until the request is complete, and must not overlap. Counts are elements and at most max_count(). All
/// ranks of the communicator start their collectives in the same order. Every call throws MpiError.
class Communicator {
 public:
  /// All ranks that were launched together. MPI must be initialised.
  [[nodiscard]] static Communicator world();

  Communicator(Communicator&& other) noexcept;
  Communicator& operator=(Communicator&& other) noexcept;
  /// Frees the communicator, which is collective, only where nothing can hang: not while an exception
  /// unwinds, not after a request was abandoned, not after MPI_Finalize.
  ~Communicator();

  [[nodiscard]] int rank() const { return rank_; }
  [[nodiscard]] int size() const { return size_; }

  /// The ranks with the same `color` (not negative), ordered by `key`, then by rank. Collective.
  /// Sharp edge: the split itself has no nonblocking form. A barrier with the deadline comes first, so a
  /// missing or late rank ends as DeadlineError; a rank that dies between the two is for the process's
  /// watchdog.
  [[nodiscard]] Communicator split(int color, int key, double deadline_s) const;
  /// The same ranks, with messages of their own. Collective. Throws DeadlineError.
  [[nodiscard]] Communicator duplicate(double deadline_s) const;

  [[nodiscard]] static std::size_t max_count();

  [[nodiscard]] Request start_barrier() const;
  [[nodiscard]] Request start_all_reduce(const void* from, void* to, std::size_t count, DataType type,
                                         Reduction reduction = Reduction::sum) const;
  /// `from` holds size() blocks of `block` elements, `to` one.
  [[nodiscard]] Request start_reduce_scatter(const void* from, void* to, std::size_t block, DataType type,
                                             Reduction reduction = Reduction::sum) const;
  /// `from` holds one block, `to` size() blocks.
  [[nodiscard]] Request start_all_gather(const void* from, void* to, std::size_t block, DataType type) const;
  /// `data` is sent on `root` and received on the others.
  [[nodiscard]] Request start_broadcast(void* data, std::size_t count, DataType type, int root) const;
  /// Both hold size() blocks.
  [[nodiscard]] Request start_all_to_all(const void* from, void* to, std::size_t block, DataType type) const;
  [[nodiscard]] Request start_send(const void* from, std::size_t count, DataType type, int to_rank,
                                   int tag) const;
  [[nodiscard]] Request start_receive(void* to, std::size_t count, DataType type, int from_rank,
                                      int tag) const;

  [[nodiscard]] MPI_Comm handle() const { return handle_; }

 private:
  enum class Ownership { borrowed, owned };
  Communicator(MPI_Comm handle, Ownership ownership);
  void free() noexcept;

  MPI_Comm handle_ = MPI_COMM_NULL;
  Ownership ownership_ = Ownership::borrowed;
  int rank_ = 0;
  int size_ = 0;
};

}  // namespace lockstep::mpi
