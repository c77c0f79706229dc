#pragma once

#include <cstddef>
#include <vector>

#include "harness/cuda/device.hpp"
#include "harness/step/backends.hpp"
#include "harness/step/graph.hpp"

namespace lockstep::fabric {

/// Where a graph's buffers are in the memory that a fabric sends from. A step::BufferSet is host memory; on a
/// GPU its buffers have twins, made by whoever computes there.
class BufferPlaces {
 public:
  virtual ~BufferPlaces() = default;
  [[nodiscard]] virtual std::byte* at(const step::StepGraph& graph, step::BufferRef ref) = 0;
};

/// The buffers of a step::BufferSet themselves.
class HostPlaces final : public BufferPlaces {
 public:
  /// `buffers` must outlive it.
  explicit HostPlaces(step::BufferSet& buffers) : buffers_(buffers) {}
  [[nodiscard]] std::byte* at(const step::StepGraph& graph, step::BufferRef ref) override {
    return buffers_.at(graph, ref);
  }

 private:
  step::BufferSet& buffers_;
};

/// A twin on the current device for every buffer that `buffers` has, with the same contents: for runs whose
/// compute does not keep its buffers on the device itself.
class DeviceTwins final : public BufferPlaces {
 public:
  /// Throws CudaError; RunError with the figures when the device has too little memory.
  DeviceTwins(const step::StepGraph& graph, step::BufferSet& buffers);
  [[nodiscard]] std::byte* at(const step::StepGraph& graph, step::BufferRef ref) override;

 private:
  std::vector<cuda::DeviceMemory> memory_;  // by BufferId
};

}  // namespace lockstep::fabric
