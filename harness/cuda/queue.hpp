#pragma once

#include <cstddef>
#include <memory>

#include "harness/cuda/handles.hpp"
#include "harness/cuda/stream.hpp"

namespace lockstep::cuda {

/// A stream, and marks on it that can be looked for without waiting. Virtual, so that what uses it can be
/// tested without a GPU.
class Queue {
 public:
  virtual ~Queue() = default;
  /// For foreign calls that take a stream.
  [[nodiscard]] virtual CUstream_st* stream() const = 0;
  /// Copies behind all that is on the stream, between any two places of host and device. Host memory should
  /// be pinned: else the call lasts as long as the copy. Throws CudaError.
  virtual void copy(void* to, const void* from, std::size_t bytes) = 0;
  /// Puts mark `index` behind all that is on the stream. Throws CudaError.
  virtual void mark(std::size_t index) = 0;
  /// Whether the stream has come to where the mark was last put. Never waits. Throws CudaError, also for what
  /// went wrong on the device before.
  [[nodiscard]] virtual bool reached(std::size_t index) = 0;
};

/// A stream of the current device with `marks` marks. Throws CudaError.
[[nodiscard]] std::unique_ptr<Queue> make_queue(std::size_t marks, StreamPriority priority);

}  // namespace lockstep::cuda
