#include <cstdlib>
#include <cstring>
#include <new>
#include <set>

#include "harness/core/error.hpp"
#include "harness/core/hash.hpp"
#include "harness/core/units.hpp"
#include "harness/step/backends.hpp"

namespace lockstep::step {
namespace {

constexpr std::size_t kAlignment = 64;  // one cache line, and one AVX-512 register

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
  }
}

}  // namespace

void BufferSet::Free::operator()(std::byte* memory) const noexcept {
  std::free(memory);
}

BufferSet::BufferSet(const StepGraph& graph, Need need, RankId rank) {
  const std::set<std::uint32_t> communicated = communicated_buffers(graph);
  storage_.resize(graph.buffers.size());
  spans_.resize(graph.buffers.size());
  for (std::uint32_t i = 0; i < graph.buffers.size(); ++i) {
    if (need == Need::communicated && !communicated.contains(i))
      continue;
    const Buffer& buffer = graph.buffers[i];
    const std::uint64_t bytes = buffer.bytes();
    const std::uint64_t rounded = (bytes + kAlignment - 1) / kAlignment * kAlignment;
    if (rounded == 0)
      continue;
    storage_[i].reset(static_cast<std::byte*>(std::aligned_alloc(kAlignment, rounded)));
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
    if (buffer.role == BufferRole::optimizer_state)
      std::memset(spans_[i].data(), 0, bytes);  // moments start at zero; the second one is never negative
    else
      fill_random(spans_[i], buffer.dtype, mix64(rank.value() * 1000003ULL + i));
  }
}

}  // namespace lockstep::step
