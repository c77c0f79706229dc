#include "harness/fabric/buffer_places.hpp"

#include <fmt/format.h>

#include "harness/core/error.hpp"
#include "harness/core/units.hpp"

namespace lockstep::fabric {

DeviceTwins::DeviceTwins(const step::StepGraph& graph, step::BufferSet& buffers) {
  std::uint64_t all_bytes = 0;
  for (std::uint32_t i = 0; i < graph.buffers.size(); ++i)
    all_bytes += buffers.bytes(BufferId(i)).size();
  memory_.reserve(graph.buffers.size());
  for (std::uint32_t i = 0; i < graph.buffers.size(); ++i) {
    const std::span<std::byte> host = buffers.bytes(BufferId(i));
    try {
      memory_.emplace_back(host.size());
    } catch (const cuda::CudaError& error) {
      throw RunError({.what = fmt::format("cannot allocate {} of {} on the device for buffer {}",
                                          format_bytes(static_cast<double>(host.size())),
                                          format_bytes(static_cast<double>(all_bytes)), graph.buffers[i].name),
                      .why = error.problem().why,
                      .suggestion = "use a smaller model, or more ranks",
                      .file = {}});
    }
    memory_.back().copy_from_host(host);
  }
}

std::byte* DeviceTwins::at(const step::StepGraph& graph, step::BufferRef ref) {
  return static_cast<std::byte*>(memory_[ref.buffer.value()].data()) +
         ref.offset * bytes_of(graph.buffer(ref.buffer).dtype);
}

}  // namespace lockstep::fabric
