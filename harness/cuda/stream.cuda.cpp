#include "harness/cuda/stream.hpp"

#include "harness/cuda/check.hpp"

namespace lockstep::cuda {

using detail::check;
using detail::ignore;

namespace {

cudaStream_t raw(const Stream& stream) {
  return static_cast<cudaStream_t>(stream.handle());
}

cudaEvent_t raw(const Event& event) {
  return static_cast<cudaEvent_t>(event.handle());
}

bool is_done(cudaError_t code, const char* call) {
  if (code == cudaErrorNotReady)
    return false;
  check(code, call);
  return true;
}

bool is_captured(const Stream& stream) {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  check(::cudaStreamIsCapturing(raw(stream), &status), "cudaStreamIsCapturing");
  return status == cudaStreamCaptureStatusActive;
}

}  // namespace

Stream::Stream(StreamPriority priority) {
  int least = 0;
  int greatest = 0;
  check(::cudaDeviceGetStreamPriorityRange(&least, &greatest), "cudaDeviceGetStreamPriorityRange");
  cudaStream_t stream = nullptr;
  check(::cudaStreamCreateWithPriority(&stream, cudaStreamNonBlocking,
                                       priority == StreamPriority::high ? greatest : least),
        "cudaStreamCreateWithPriority");
  handle_ = stream;
}

void Stream::release() noexcept {
  if (handle_ != nullptr)
    ignore(::cudaStreamDestroy(raw(*this)));
  handle_ = nullptr;
}

void Stream::synchronize() const {
  check(::cudaStreamSynchronize(raw(*this)), "cudaStreamSynchronize");
}

bool Stream::idle() const {
  return is_done(::cudaStreamQuery(raw(*this)), "cudaStreamQuery");
}

void Stream::wait_for(const Event& event) const {
  check(::cudaStreamWaitEvent(raw(*this), raw(event), 0), "cudaStreamWaitEvent");
}

Event::Event(Timing timing) {
  cudaEvent_t event = nullptr;
  check(::cudaEventCreateWithFlags(&event, timing == Timing::on ? cudaEventDefault : cudaEventDisableTiming),
        "cudaEventCreateWithFlags");
  handle_ = event;
}

void Event::release() noexcept {
  if (handle_ != nullptr)
    ignore(::cudaEventDestroy(raw(*this)));
  handle_ = nullptr;
}

void Event::record(const Stream& stream) const {
  const unsigned flags = is_captured(stream) ? cudaEventRecordExternal : cudaEventRecordDefault;
  check(::cudaEventRecordWithFlags(raw(*this), raw(stream), flags), "cudaEventRecordWithFlags");
}

bool Event::done() const {
  return is_done(::cudaEventQuery(raw(*this)), "cudaEventQuery");
}

void Event::synchronize() const {
  check(::cudaEventSynchronize(raw(*this)), "cudaEventSynchronize");
}

double Event::seconds_since(const Event& earlier) const {
  float ms = 0.0F;
  check(::cudaEventElapsedTime(&ms, raw(earlier), raw(*this)), "cudaEventElapsedTime");
  return static_cast<double>(ms) * 1e-3;
}

Graph Graph::capture(const Stream& stream, const std::function<void()>& work) {
  check(::cudaStreamBeginCapture(raw(stream), cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
  cudaGraph_t graph = nullptr;
  try {
    work();
  } catch (...) {
    ignore(::cudaStreamEndCapture(raw(stream), &graph));
    if (graph != nullptr)
      ignore(::cudaGraphDestroy(graph));
    throw;
  }
  check(::cudaStreamEndCapture(raw(stream), &graph), "cudaStreamEndCapture");
  cudaGraphExec_t launchable = nullptr;
  const cudaError_t code = ::cudaGraphInstantiate(&launchable, graph, 0);
  ignore(::cudaGraphDestroy(graph));
  check(code, "cudaGraphInstantiate");
  return Graph(launchable);
}

void Graph::release() noexcept {
  if (handle_ != nullptr)
    ignore(::cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(handle_)));
  handle_ = nullptr;
}

void Graph::launch(const Stream& stream) const {
  check(::cudaGraphLaunch(static_cast<cudaGraphExec_t>(handle_), raw(stream)), "cudaGraphLaunch");
}

void make_current(int device) {
  check(::cudaSetDevice(device), "cudaSetDevice");
}

}  // namespace lockstep::cuda
