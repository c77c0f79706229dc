#include "harness/fabric/flipping_validator.hpp"

#include <cstddef>
#include <span>

namespace lockstep::fabric {

step::ValidationResult FlippingValidator::check(std::uint32_t step, std::uint32_t comm_index,
                                                const step::Comm& comm, step::BufferSet& buffers) {
  if (armed_ == step && comm.kind != step::CommKind::barrier) {
    armed_.reset();
    const std::uint64_t element = inner_.first_sample(step, comm_index, comm);
    const std::uint64_t bytes = bytes_of(comm.dtype);
    // The highest bit of the fraction: the value changes a lot, and stays a number.
    const int bit = comm.dtype == step::Dtype::f64 ? 51 : 22;
    before_({step, comm_index, element, bit});
    std::byte* data = buffers.at(graph_, comm.to) + element * bytes;
    std::byte changed{};  // little-endian, as all that this runs on
    buffers.read(data + bit / 8, std::span(&changed, 1));
    changed ^= std::byte{1} << (bit % 8);
    buffers.write(data + bit / 8, std::span(&changed, 1));
  }
  return inner_.check(step, comm_index, comm, buffers);
}

}  // namespace lockstep::fabric
