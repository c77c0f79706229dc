#include "harness/compute/cuda_memory.hpp"

#include "harness/cuda/memory.hpp"

namespace lockstep::compute {

std::byte* CudaMemory::allocate(std::uint64_t bytes) {
  cuda::make_current(device_);
  return cuda::allocate(bytes);
}

void CudaMemory::free(std::byte* memory) noexcept {
  cuda::deallocate(memory);  // knows its device
}

void CudaMemory::write(std::byte* to, std::span<const std::byte> from) {
  cuda::make_current(device_);
  cuda::copy_to_device(to, from);
}

void CudaMemory::read(const std::byte* from, std::span<std::byte> to) {
  cuda::make_current(device_);
  cuda::copy_to_host(to, from);
}

void CudaMemory::copy(std::byte* to, const std::byte* from, std::uint64_t bytes) {
  cuda::make_current(device_);
  cuda::copy_on_device(to, from, bytes);
}

void CudaMemory::clear(std::byte* to, std::uint64_t bytes) {
  cuda::make_current(device_);
  cuda::clear(to, bytes);
}

}  // namespace lockstep::compute
