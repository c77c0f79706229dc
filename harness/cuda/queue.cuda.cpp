#include "harness/cuda/queue.hpp"

#include <utility>
#include <vector>

#include <cuda_runtime_api.h>

#include "harness/core/error.hpp"
#include "harness/cuda/device.hpp"

namespace lockstep::cuda {
namespace {

void check(cudaError_t code, const char* call) {
  if (code == cudaSuccess)
    return;
  static_cast<void>(::cudaGetLastError());  // a later call must not report this one
  throw CudaError(call, code, ::cudaGetErrorName(code), ::cudaGetErrorString(code));
}

/// Neither cudaStreamDestroy nor cudaEventDestroy waits for what is still on the device.
class StreamQueue final : public Queue {
 public:
  StreamQueue(std::size_t marks, QueuePriority priority) {
    events_.reserve(marks);
    try {
      int least = 0;
      int greatest = 0;
      check(::cudaDeviceGetStreamPriorityRange(&least, &greatest), "cudaDeviceGetStreamPriorityRange");
      check(::cudaStreamCreateWithPriority(&stream_, cudaStreamNonBlocking,
                                           priority == QueuePriority::high ? greatest : least),
            "cudaStreamCreateWithPriority");
      for (std::size_t i = 0; i < marks; ++i) {
        cudaEvent_t event = nullptr;
        check(::cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "cudaEventCreateWithFlags");
        events_.push_back(event);
      }
    } catch (const CudaError&) {
      release();
      throw;
    }
  }
  StreamQueue(const StreamQueue&) = delete;
  StreamQueue& operator=(const StreamQueue&) = delete;
  ~StreamQueue() override { release(); }

  [[nodiscard]] CUstream_st* stream() const override { return stream_; }

  void copy(void* to, const void* from, std::size_t bytes) override {
    if (bytes > 0)
      check(::cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, stream_), "cudaMemcpyAsync");
  }
  void mark(std::size_t index) override {
    LOCKSTEP_EXPECT(index < events_.size(), "no such mark");
    check(::cudaEventRecord(events_[index], stream_), "cudaEventRecord");
  }
  [[nodiscard]] bool reached(std::size_t index) override {
    LOCKSTEP_EXPECT(index < events_.size(), "no such mark");
    const cudaError_t code = ::cudaEventQuery(events_[index]);
    if (code == cudaErrorNotReady) {
      static_cast<void>(::cudaGetLastError());
      return false;
    }
    check(code, "cudaEventQuery");
    return true;
  }

 private:
  void release() noexcept {
    for (cudaEvent_t event : events_)
      static_cast<void>(::cudaEventDestroy(event));
    if (stream_ != nullptr)
      static_cast<void>(::cudaStreamDestroy(stream_));
  }
  cudaStream_t stream_ = nullptr;
  std::vector<cudaEvent_t> events_;
};

}  // namespace

std::unique_ptr<Queue> make_queue(std::size_t marks, QueuePriority priority) {
  return std::make_unique<StreamQueue>(marks, priority);
}

void use_device(int index) {
  check(::cudaSetDevice(index), "cudaSetDevice");
}

PinnedHost::PinnedHost(std::span<std::byte> memory) {
  if (memory.empty())
    return;
  check(::cudaHostRegister(memory.data(), memory.size(), cudaHostRegisterDefault), "cudaHostRegister");
  data_ = memory.data();
}

PinnedHost::PinnedHost(PinnedHost&& other) noexcept : data_(std::exchange(other.data_, nullptr)) {}

PinnedHost::~PinnedHost() {
  if (data_ != nullptr)
    static_cast<void>(::cudaHostUnregister(data_));
}

}  // namespace lockstep::cuda
