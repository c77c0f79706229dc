#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "harness/step/backends.hpp"
#include "harness/step/graph.hpp"

/// What a communication is given in tests, and what its definition says that it leaves.
namespace lockstep::fabric {

// Small enough that a sum over all ranks is exact in f32.
inline double input(RankId rank, std::uint64_t element) {
  return 1000.0 * (rank.value() + 1) + static_cast<double>(element);
}

inline double read(step::BufferSet& buffers, const step::StepGraph& graph, const step::Comm& comm,
                   std::uint64_t element) {
  const std::byte* data = buffers.at(graph, comm.to);
  return comm.dtype == step::Dtype::f32 ? static_cast<double>(reinterpret_cast<const float*>(data)[element])
                                        : reinterpret_cast<const double*>(data)[element];
}

inline void write_input(step::BufferSet& buffers, const step::StepGraph& graph, const step::Comm& comm,
                        RankId self) {
  std::byte* data = buffers.at(graph, comm.from);
  const std::uint64_t elements = graph.buffer(comm.from.buffer).elements;
  for (std::uint64_t i = 0; i < elements; ++i) {
    if (comm.dtype == step::Dtype::f32)
      reinterpret_cast<float*>(data)[i] = static_cast<float>(input(self, i));
    else
      reinterpret_cast<double*>(data)[i] = input(self, i);
  }
}

/// What the definition of the operation says about one element of the result, worked out rank by rank.
inline double expected(const step::Comm& comm, const std::vector<RankId>& part, RankId self,
                       std::uint64_t element) {
  const std::uint64_t n = part.size();
  const std::uint64_t block = comm.elements / n;
  std::uint64_t position = 0;
  while (part[position] != self)
    ++position;
  double sum = 0.0;
  switch (comm.kind) {
    case step::CommKind::all_reduce:
      for (const RankId rank : part)
        sum += input(rank, element);
      return sum;
    case step::CommKind::reduce_scatter:
      for (const RankId rank : part)
        sum += input(rank, position * block + element);
      return sum;
    case step::CommKind::all_gather:
      return input(part[element / block], element % block);
    case step::CommKind::broadcast:
      return input(part[0], element);
    case step::CommKind::all_to_all:
      return input(part[element / block], position * block + element % block);
    case step::CommKind::send_recv:
      return input(part[(position + n - 1) % n], element);
    case step::CommKind::barrier:
      break;
  }
  return 0.0;
}

}  // namespace lockstep::fabric
