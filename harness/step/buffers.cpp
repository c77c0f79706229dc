#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>
#include <set>
#include <vector>

#include "harness/core/error.hpp"
#include "harness/core/hash.hpp"
#include "harness/core/units.hpp"
#include "harness/step/backends.hpp"

namespace lockstep::step {
namespace {

constexpr std::size_t kAlignment = 64;  // one cache line, and one AVX-512 register
constexpr std::size_t kTileBytes = std::size_t{16} << 20;

class HostMemory final : public Memory {
 public:
  [[nodiscard]] std::byte* allocate(std::uint64_t bytes) override {
    return static_cast<std::byte*>(std::aligned_alloc(kAlignment, bytes));
  }
  void free(std::byte* memory) noexcept override { std::free(memory); }
  void write(std::byte* to, std::span<const std::byte> from) override {
    std::memcpy(to, from.data(), from.size());
  }
  void read(const std::byte* from, std::span<std::byte> to) override {
    std::memcpy(to.data(), from, to.size());
  }
  void copy(std::byte* to, const std::byte* from, std::uint64_t bytes) override {
    std::memcpy(to, from, bytes);
  }
  void clear(std::byte* to, std::uint64_t bytes) override { std::memset(to, 0, bytes); }
  [[nodiscard]] bool on_host() const override { return true; }
};

std::set<std::uint32_t> communicated_buffers(const StepGraph& graph) {
  std::set<std::uint32_t> ids;
  for (const Op& op : graph.ops) {
    const auto* comm = std::get_if<Comm>(&op.work);
    if (comm == nullptr || comm->kind == CommKind::barrier)
      continue;
    ids.insert(comm->from.buffer.value());
    ids.insert(comm->to.buffer.value());
  }
  return ids;
}

/// Uniform in [-1, 1) in steps of 2^-20, so that a sum over a million ranks stays finite in every dtype.
double uniform(std::uint64_t seed) {
  return static_cast<double>(static_cast<std::int64_t>(mix64(seed) >> 43) - (1 << 20)) /
         static_cast<double>(1 << 20);
}

template <class Real>
void fill(std::span<std::byte> bytes, std::uint64_t seed) {
  auto* values = reinterpret_cast<Real*>(bytes.data());
  for (std::size_t i = 0; i < bytes.size() / sizeof(Real); ++i)
    values[i] = static_cast<Real>(uniform(seed + i));
}

/// Sign, one of the exponents of [2^-4, 1), random fraction: eight bits with `fraction_bits` of them.
void fill_fp8(std::span<std::byte> bytes, std::uint64_t seed, unsigned fraction_bits, unsigned bias) {
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const std::uint64_t bits = mix64(seed + i);
    const auto exponent = static_cast<unsigned>(bias - 1 - ((bits >> 1) & 3U));
    const auto fraction = static_cast<unsigned>(bits >> 3) & ((1U << fraction_bits) - 1);
    bytes[i] = static_cast<std::byte>(((bits & 1U) << 7) | (exponent << fraction_bits) | fraction);
  }
}

void fill_random(std::span<std::byte> bytes, Dtype dtype, std::uint64_t seed) {
  switch (dtype) {
    case Dtype::f32:
      fill<float>(bytes, seed);
      return;
    case Dtype::f64:
      fill<double>(bytes, seed);
      return;
    case Dtype::bf16: {
      auto* values = reinterpret_cast<std::uint16_t*>(bytes.data());
      for (std::size_t i = 0; i < bytes.size() / 2; ++i) {
        const auto value = static_cast<float>(uniform(seed + i));
        std::uint32_t bits = 0;
        std::memcpy(&bits, &value, 4);
        values[i] = static_cast<std::uint16_t>(bits >> 16);  // bf16 is the upper half of an f32
      }
      return;
    }
    case Dtype::f16: {
      auto* values = reinterpret_cast<std::uint16_t*>(bytes.data());
      for (std::size_t i = 0; i < bytes.size() / 2; ++i) {
        // Sign, exponent of [0.5, 1), ten random mantissa bits.
        const std::uint64_t bits = mix64(seed + i);
        values[i] = static_cast<std::uint16_t>(((bits & 1U) << 15) | (14U << 10) | ((bits >> 1) & 0x3ffU));
      }
      return;
    }
    case Dtype::e4m3:
      fill_fp8(bytes, seed, 3, 7);
      return;
    case Dtype::e5m2:
      fill_fp8(bytes, seed, 2, 15);
      return;
  }
}

}  // namespace

Memory& host_memory() {
  static HostMemory memory;
  return memory;
}

void BufferSet::fill(const Buffer& buffer, std::span<std::byte> bytes, std::uint64_t seed) {
  if (buffer.role == BufferRole::optimizer_state) {
    memory_->clear(bytes.data(), bytes.size());  // moments start at zero; the second one is never negative
    return;
  }
  if (memory_->on_host()) {
    fill_random(bytes, buffer.dtype, seed);
    return;
  }
  std::vector<std::byte> tile(std::min<std::size_t>(bytes.size(), kTileBytes));
  fill_random(tile, buffer.dtype, seed);
  memory_->write(bytes.data(), tile);
  for (std::size_t filled = tile.size(); filled < bytes.size();) {
    const std::size_t more = std::min(filled, bytes.size() - filled);
    memory_->copy(bytes.data() + filled, bytes.data(), more);
    filled += more;
  }
}

BufferSet::BufferSet(const StepGraph& graph, Need need, RankId rank, Memory& memory) : memory_(&memory) {
  const std::set<std::uint32_t> communicated = communicated_buffers(graph);
  storage_.reserve(graph.buffers.size());
  while (storage_.size() < graph.buffers.size())
    storage_.emplace_back(nullptr, Free{memory_});
  spans_.resize(graph.buffers.size());
  for (std::uint32_t i = 0; i < graph.buffers.size(); ++i) {
    if (need == Need::communicated && !communicated.contains(i))
      continue;
    const Buffer& buffer = graph.buffers[i];
    const std::uint64_t bytes = buffer.bytes();
    const std::uint64_t rounded = (bytes + kAlignment - 1) / kAlignment * kAlignment;
    if (rounded == 0)
      continue;
    storage_[i].reset(memory_->allocate(rounded));
    if (!storage_[i]) {
      throw RunError(
          {.what =
               "cannot allocate " + format_bytes(static_cast<double>(bytes)) + " for buffer " + buffer.name,
           .why = "out of memory",
           .suggestion =
               "use a smaller model, fewer ranks on this host, or see `lockstep check` for the need",
           .file = {}});
    }
    spans_[i] = {storage_[i].get(), bytes};
    fill(buffer, spans_[i], mix64(rank.value() * 1000003ULL + i));
  }
}

}  // namespace lockstep::step
