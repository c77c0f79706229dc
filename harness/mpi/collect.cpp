#include "harness/mpi/collect.hpp"

#include <algorithm>
#include <cstring>
#include <memory>

#include "harness/core/error.hpp"

namespace lockstep::mpi {
namespace {

/// Memory that outlives a wait that was given up: the transport may still use it.
template <class T>
using Shared = std::shared_ptr<std::vector<T>>;

template <class T>
Shared<T> shared_copy(std::span<const T> values) {
  return std::make_shared<std::vector<T>>(values.begin(), values.end());
}

/// Waits, and on the way out of a failed wait leaves both buffers with the request's remains.
template <class First, class Second>
void wait_keeping(Request request, const Deadline& deadline, First first, Second second) {
  struct Both {
    First first;
    Second second;
  };
  request.own(std::make_shared<Both>(Both{std::move(first), std::move(second)}));
  request.wait(deadline);
}

template <class T>
std::vector<T> reduce_values(const Communicator& comm, std::span<const T> values, DataType type,
                             Reduction reduction, double deadline_s) {
  const Deadline deadline(deadline_s);
  const auto from = shared_copy(values);
  const auto to = std::make_shared<std::vector<T>>(values.size());
  wait_keeping(comm.start_all_reduce(from->data(), to->data(), values.size(), type, reduction), deadline,
               from, to);
  return *to;
}

}  // namespace

void barrier(const Communicator& comm, double deadline_s) {
  comm.start_barrier().wait(deadline_s);
}

std::vector<double> all_reduce(const Communicator& comm, std::span<const double> values, Reduction reduction,
                               double deadline_s) {
  return reduce_values(comm, values, DataType::f64, reduction, deadline_s);
}

std::vector<std::int64_t> all_reduce(const Communicator& comm, std::span<const std::int64_t> values,
                                     Reduction reduction, double deadline_s) {
  return reduce_values(comm, values, DataType::i64, reduction, deadline_s);
}

double all_reduce(const Communicator& comm, double value, Reduction reduction, double deadline_s) {
  return all_reduce(comm, std::span<const double>(&value, 1), reduction, deadline_s).front();
}

std::int64_t all_reduce(const Communicator& comm, std::int64_t value, Reduction reduction,
                        double deadline_s) {
  return all_reduce(comm, std::span<const std::int64_t>(&value, 1), reduction, deadline_s).front();
}

std::vector<std::string> all_gather_strings(const Communicator& comm, std::string_view text,
                                            double deadline_s) {
  const Deadline deadline(deadline_s);
  const auto ranks = static_cast<std::size_t>(comm.size());

  const auto length = std::make_shared<std::vector<std::uint64_t>>(1, text.size());
  const auto lengths = std::make_shared<std::vector<std::uint64_t>>(ranks);
  wait_keeping(comm.start_all_gather(length->data(), lengths->data(), 1, DataType::u64), deadline, length,
               lengths);

  // Blocks of one size, since a gather of unequal blocks counts its total in an int.
  const std::size_t widest = *std::max_element(lengths->begin(), lengths->end());
  std::vector<std::string> texts(ranks);
  if (widest == 0)
    return texts;
  const auto block = std::make_shared<std::vector<char>>(widest);
  std::copy(text.begin(), text.end(), block->begin());
  const auto table = std::make_shared<std::vector<char>>(widest * ranks);
  wait_keeping(comm.start_all_gather(block->data(), table->data(), widest, DataType::u8), deadline, block,
               table);
  for (std::size_t i = 0; i < ranks; ++i)
    texts[i].assign(table->data() + i * widest, (*lengths)[i]);
  return texts;
}

std::string broadcast_string(const Communicator& comm, std::string_view text, int root, double deadline_s) {
  const Deadline deadline(deadline_s);
  const auto length = std::make_shared<std::vector<std::uint64_t>>(1, text.size());
  wait_keeping(comm.start_broadcast(length->data(), 1, DataType::u64, root), deadline, length, length);
  const auto data = std::make_shared<std::vector<char>>(length->front());
  if (comm.rank() == root)
    std::copy(text.begin(), text.end(), data->begin());
  for (std::size_t sent = 0; sent < data->size(); sent += kPieceBytes) {
    const std::size_t piece = std::min(kPieceBytes, data->size() - sent);
    wait_keeping(comm.start_broadcast(data->data() + sent, piece, DataType::u8, root), deadline, data, data);
  }
  return {data->begin(), data->end()};
}

void send_bytes(const Communicator& comm, std::span<const std::byte> bytes, int to_rank, int tag,
                double deadline_s) {
  const Deadline deadline(deadline_s);
  const auto length = std::make_shared<std::vector<std::uint64_t>>(1, bytes.size());
  wait_keeping(comm.start_send(length->data(), 1, DataType::u64, to_rank, tag), deadline, length, length);
  const auto piece = std::make_shared<std::vector<std::byte>>();
  for (std::size_t sent = 0; sent < bytes.size(); sent += kPieceBytes) {
    const auto part = bytes.subspan(sent, std::min(kPieceBytes, bytes.size() - sent));
    piece->assign(part.begin(), part.end());
    wait_keeping(comm.start_send(piece->data(), piece->size(), DataType::u8, to_rank, tag), deadline, piece,
                 piece);
  }
}

std::vector<std::byte> receive_bytes(const Communicator& comm, int from_rank, int tag, double deadline_s) {
  const Deadline deadline(deadline_s);
  const auto length = std::make_shared<std::vector<std::uint64_t>>(1);
  wait_keeping(comm.start_receive(length->data(), 1, DataType::u64, from_rank, tag), deadline, length,
               length);
  const auto data = std::make_shared<std::vector<std::byte>>(length->front());
  for (std::size_t received = 0; received < data->size(); received += kPieceBytes) {
    const std::size_t piece = std::min(kPieceBytes, data->size() - received);
    wait_keeping(comm.start_receive(data->data() + received, piece, DataType::u8, from_rank, tag), deadline,
                 data, data);
  }
  return std::move(*data);
}

}  // namespace lockstep::mpi
