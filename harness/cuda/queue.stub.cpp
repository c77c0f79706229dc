#include "harness/cuda/queue.hpp"

#include <utility>

#include "harness/cuda/device.hpp"

namespace lockstep::cuda {
namespace {

[[noreturn]] void refuse(const char* call) {
  throw CudaError(call, -1, "not built", "this build of Lockstep has no CUDA");
}

}  // namespace

std::unique_ptr<Queue> make_queue(std::size_t /*marks*/, QueuePriority /*priority*/) {
  refuse("making a CUDA stream");
}

void use_device(int /*index*/) {
  refuse("choosing a CUDA device");
}

PinnedHost::PinnedHost(std::span<std::byte> memory) {
  if (!memory.empty())
    refuse("pinning host memory");
}

PinnedHost::PinnedHost(PinnedHost&& other) noexcept : data_(std::exchange(other.data_, nullptr)) {}

PinnedHost::~PinnedHost() {}  // nothing was ever pinned

}  // namespace lockstep::cuda
