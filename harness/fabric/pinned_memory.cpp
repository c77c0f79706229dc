#include "harness/fabric/pinned_memory.hpp"

#include <algorithm>
#include <cstring>

namespace lockstep::fabric {

std::byte* PinnedHostMemory::allocate(std::uint64_t bytes) {
  return pieces_.emplace_back(bytes).bytes().data();
}

void PinnedHostMemory::free(std::byte* memory) noexcept {
  std::erase_if(pieces_,
                [memory](const cuda::PinnedMemory& piece) { return piece.bytes().data() == memory; });
}

void PinnedHostMemory::write(std::byte* to, std::span<const std::byte> from) {
  std::memcpy(to, from.data(), from.size());
}

void PinnedHostMemory::read(const std::byte* from, std::span<std::byte> to) {
  std::memcpy(to.data(), from, to.size());
}

void PinnedHostMemory::copy(std::byte* to, const std::byte* from, std::uint64_t bytes) {
  std::memcpy(to, from, bytes);
}

void PinnedHostMemory::clear(std::byte* to, std::uint64_t bytes) {
  std::memset(to, 0, bytes);
}

}  // namespace lockstep::fabric
