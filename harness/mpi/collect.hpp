#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "harness/mpi/communicator.hpp"

/// Whole exchanges for set-up and collection, never for a step: they allocate and wait. Each waits at most
/// `deadline_s` in all and throws DeadlineError naming the MPI call that was waited for, or MpiError.
namespace lockstep::mpi {

/// Returns when every rank has come.
void barrier(const Communicator& comm, double deadline_s);

/// Element by element over all ranks; every rank gets the result. All ranks give the same number of values.
[[nodiscard]] std::vector<double> all_reduce(const Communicator& comm, std::span<const double> values,
                                             Reduction reduction, double deadline_s);
[[nodiscard]] std::vector<std::int64_t> all_reduce(const Communicator& comm,
                                                   std::span<const std::int64_t> values, Reduction reduction,
                                                   double deadline_s);
[[nodiscard]] double all_reduce(const Communicator& comm, double value, Reduction reduction,
                                double deadline_s);
[[nodiscard]] std::int64_t all_reduce(const Communicator& comm, std::int64_t value, Reduction reduction,
                                      double deadline_s);

/// Every rank's text on every rank, in order of ranks. Any bytes, any lengths. Every rank holds a table as
/// wide as the longest text: for cards of a few hundred bytes, not for data.
[[nodiscard]] std::vector<std::string> all_gather_strings(const Communicator& comm, std::string_view text,
                                                          double deadline_s);

/// `text` of `root` on every rank; what other ranks give is ignored.
[[nodiscard]] std::string broadcast_string(const Communicator& comm, std::string_view text, int root,
                                           double deadline_s);

/// Any number of bytes to one rank, which calls receive_bytes() with the same tag. Sent in pieces.
void send_bytes(const Communicator& comm, std::span<const std::byte> bytes, int to_rank, int tag,
                double deadline_s);
[[nodiscard]] std::vector<std::byte> receive_bytes(const Communicator& comm, int from_rank, int tag,
                                                   double deadline_s);

/// Bytes in one piece of send_bytes().
constexpr std::size_t kPieceBytes = 16U << 20;

}  // namespace lockstep::mpi
