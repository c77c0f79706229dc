#include "harness/cuda/memory.hpp"

#include "harness/cuda/check.hpp"

namespace lockstep::cuda {

using detail::check;
using detail::ignore;

namespace {

cudaStream_t raw(const Stream& stream) {
  return static_cast<cudaStream_t>(stream.handle());
}

/// Copies within a device and fills return before they are done.
void finish_default_stream() {
  check(::cudaStreamSynchronize(nullptr), "cudaStreamSynchronize");
}

}  // namespace

PinnedMemory::PinnedMemory(std::size_t bytes) {
  if (bytes == 0)
    return;
  check(::cudaMallocHost(&data_, bytes), "cudaMallocHost");
  bytes_ = bytes;
}

void PinnedMemory::release() noexcept {
  if (data_ != nullptr)
    ignore(::cudaFreeHost(data_));
  data_ = nullptr;
  bytes_ = 0;
}

MemoryState memory_state() {
  std::size_t free = 0;
  std::size_t total = 0;
  check(::cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
  return {free, total};
}

std::byte* allocate(std::size_t bytes) {
  void* memory = nullptr;
  const cudaError_t code = ::cudaMalloc(&memory, bytes);
  if (code == cudaErrorMemoryAllocation) {
    ignore(code);
    return nullptr;
  }
  check(code, "cudaMalloc");
  return static_cast<std::byte*>(memory);
}

void deallocate(std::byte* memory) noexcept {
  if (memory != nullptr)
    ignore(::cudaFree(memory));
}

void copy_to_device(std::byte* to, std::span<const std::byte> from) {
  if (from.empty())
    return;
  check(::cudaMemcpy(to, from.data(), from.size(), cudaMemcpyHostToDevice), "cudaMemcpy to device");
  finish_default_stream();  // small copies from pageable memory are only staged when cudaMemcpy returns
}

void copy_to_host(std::span<std::byte> to, const std::byte* from) {
  if (!to.empty())
    check(::cudaMemcpy(to.data(), from, to.size(), cudaMemcpyDeviceToHost), "cudaMemcpy to host");
}

void copy_on_device(std::byte* to, const std::byte* from, std::size_t bytes) {
  if (bytes == 0)
    return;
  check(::cudaMemcpy(to, from, bytes, cudaMemcpyDeviceToDevice), "cudaMemcpy on device");
  finish_default_stream();
}

void clear(std::byte* to, std::size_t bytes) {
  if (bytes == 0)
    return;
  check(::cudaMemset(to, 0, bytes), "cudaMemset");
  finish_default_stream();
}

void copy_to_device(std::byte* to, std::span<const std::byte> from, const Stream& stream) {
  if (!from.empty())
    check(::cudaMemcpyAsync(to, from.data(), from.size(), cudaMemcpyHostToDevice, raw(stream)),
          "cudaMemcpyAsync to device");
}

void copy_to_host(std::span<std::byte> to, const std::byte* from, const Stream& stream) {
  if (!to.empty())
    check(::cudaMemcpyAsync(to.data(), from, to.size(), cudaMemcpyDeviceToHost, raw(stream)),
          "cudaMemcpyAsync to host");
}

void copy(void* to, const void* from, std::size_t bytes, const Stream& stream) {
  if (bytes > 0)
    check(::cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, raw(stream)), "cudaMemcpyAsync");
}

}  // namespace lockstep::cuda
