#include "harness/cuda/memory.hpp"

#include "harness/cuda/refuse.hpp"

namespace lockstep::cuda {

using detail::refuse;

PinnedMemory::PinnedMemory(std::size_t bytes) {
  if (bytes > 0)
    refuse("allocating pinned memory");
}

void PinnedMemory::release() noexcept {
  data_ = nullptr;
  bytes_ = 0;
}

MemoryState memory_state() {
  refuse("asking for free CUDA memory");
}

std::byte* allocate(std::size_t /*bytes*/) {
  refuse("allocating CUDA memory");
}

void deallocate(std::byte* /*memory*/) noexcept {}

void copy_to_device(std::byte* /*to*/, std::span<const std::byte> /*from*/) {
  refuse("copying to a CUDA device");
}

void copy_to_host(std::span<std::byte> /*to*/, const std::byte* /*from*/) {
  refuse("copying from a CUDA device");
}

void copy_on_device(std::byte* /*to*/, const std::byte* /*from*/, std::size_t /*bytes*/) {
  refuse("copying on a CUDA device");
}

void clear(std::byte* /*to*/, std::size_t /*bytes*/) {
  refuse("clearing CUDA memory");
}

void copy_to_device(std::byte* /*to*/, std::span<const std::byte> /*from*/, const Stream& /*stream*/) {
  refuse("copying to a CUDA device");
}

void copy_to_host(std::span<std::byte> /*to*/, const std::byte* /*from*/, const Stream& /*stream*/) {
  refuse("copying from a CUDA device");
}

void copy(void* /*to*/, const void* /*from*/, std::size_t /*bytes*/, const Stream& /*stream*/) {
  refuse("copying to or from a CUDA device");
}

}  // namespace lockstep::cuda
