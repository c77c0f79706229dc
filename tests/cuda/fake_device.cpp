#include "tests/cuda/fake_device.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "harness/core/clock.hpp"
#include "harness/cuda/adam_arguments.hpp"
#include "harness/cuda/device.hpp"
#include "harness/cuda/memory.hpp"
#include "harness/cuda/optimizer.hpp"
#include "harness/cuda/runtime_compiler.hpp"
#include "harness/cuda/stream.hpp"
#include "tests/cuda/adam_kernel_on_host.hpp"

// A device in host memory, in the place of the CUDA runtime. Work is done when it is given, or, while a
// stream is captured, at each launch of the graph.
extern "C" void lockstep_fake_enqueue(void* stream, void (*work)(void*), void (*discard)(void*), void* data);

namespace lockstep::cuda {
namespace {

using testing::fake_device;
using testing::FakeDevice;

struct FakeGraph {
  std::vector<std::function<void()>> work;
};

struct FakeStream {
  FakeGraph* captured = nullptr;
};

struct FakeEvent {
  std::int64_t at_ns = 0;
  bool timed = true;
};

void fail_when_asked(const char* call) {
  FakeDevice& device = fake_device();
  ++device.calls;
  if (device.fails_after_calls > 0 && device.calls > device.fails_after_calls)
    throw CudaError(call, 719, "cudaErrorLaunchFailure", "unspecified launch failure");
}

}  // namespace

namespace testing {

FakeDevice& fake_device() {
  static FakeDevice device;
  return device;
}

void enqueue_on_fake(void* stream, std::function<void()> work) {
  fail_when_asked("enqueue");
  auto* fake = static_cast<FakeStream*>(stream);
  if (fake->captured != nullptr)
    fake->captured->work.push_back(std::move(work));
  else
    work();
}

}  // namespace testing

Detection detect() {
  Detection found;
  found.versions = {"13.0", "13.0", cublaslt_version(), ""};
  found.state = DeviceState::ready;
  DeviceInfo info;
  info.name = "Fake GPU";
  info.memory_bytes = fake_device().memory_bytes;
  info.compute_major = 9;
  info.l2_bytes = fake_device().l2_bytes;
  info.multiprocessors = 2;
  info.pci_bus_id = "0000:00:00.0";
  found.devices = {info};
  return found;
}

std::string nccl_version() {
  return {};
}

ScopedDevice::ScopedDevice(int /*index*/) {}
ScopedDevice::~ScopedDevice() {}

DeviceMemory::DeviceMemory(std::size_t bytes) {
  if (bytes == 0)
    return;
  data_ = allocate(bytes);
  if (data_ == nullptr)
    throw CudaError("cudaMalloc", 2, "cudaErrorMemoryAllocation", "out of memory");
  bytes_ = bytes;
}

void DeviceMemory::release() noexcept {
  deallocate(static_cast<std::byte*>(data_));
  data_ = nullptr;
  bytes_ = 0;
}

void DeviceMemory::copy_from_host(std::span<const std::byte> source) {
  LOCKSTEP_EXPECT(source.size() <= bytes_, "copy beyond the end of device memory");
  copy_to_device(static_cast<std::byte*>(data_), source);
}

void DeviceMemory::copy_to_host(std::span<std::byte> target) const {
  LOCKSTEP_EXPECT(target.size() <= bytes_, "copy beyond the end of device memory");
  cuda::copy_to_host(target, static_cast<const std::byte*>(data_));
}

PinnedMemory::PinnedMemory(std::size_t bytes) : data_(std::malloc(bytes)), bytes_(bytes) {}

void PinnedMemory::release() noexcept {
  std::free(data_);
  data_ = nullptr;
}

MemoryState memory_state() {
  const FakeDevice& device = fake_device();
  return {device.memory_bytes - device.used_bytes, device.memory_bytes};
}

std::byte* allocate(std::size_t bytes) {
  constexpr std::size_t kAlignment = 256;
  FakeDevice& device = fake_device();
  const std::size_t rounded = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  if (device.used_bytes + rounded > device.memory_bytes)
    return nullptr;
  auto* memory = static_cast<std::byte*>(std::aligned_alloc(kAlignment, rounded));
  device.sizes[memory] = rounded;
  device.used_bytes += rounded;
  device.most_bytes = std::max(device.most_bytes, device.used_bytes);
  return memory;
}

void deallocate(std::byte* memory) noexcept {
  if (memory == nullptr)
    return;
  FakeDevice& device = fake_device();
  device.used_bytes -= device.sizes[memory];
  device.sizes.erase(memory);
  std::free(memory);
}

void copy_to_device(std::byte* to, std::span<const std::byte> from) {
  fail_when_asked("cudaMemcpy");
  std::memcpy(to, from.data(), from.size());
}

void copy_to_host(std::span<std::byte> to, const std::byte* from) {
  fail_when_asked("cudaMemcpy");
  std::memcpy(to.data(), from, to.size());
}

void copy_on_device(std::byte* to, const std::byte* from, std::size_t bytes) {
  std::memcpy(to, from, bytes);
}

void clear(std::byte* to, std::size_t bytes) {
  std::memset(to, 0, bytes);
}

void copy_to_device(std::byte* to, std::span<const std::byte> from, const Stream& stream) {
  testing::enqueue_on_fake(stream.handle(), [=] { std::memcpy(to, from.data(), from.size()); });
}

void copy_to_host(std::span<std::byte> to, const std::byte* from, const Stream& stream) {
  testing::enqueue_on_fake(stream.handle(), [=] { std::memcpy(to.data(), from, to.size()); });
}

void make_current(int device) {
  if (device != 0)
    throw CudaError("cudaSetDevice", 101, "cudaErrorInvalidDevice", "invalid device ordinal");
}

Stream::Stream(StreamPriority /*priority*/) : handle_(new FakeStream) {}
void Stream::release() noexcept {
  delete static_cast<FakeStream*>(handle_);
}
void Stream::synchronize() const {
  fail_when_asked("cudaStreamSynchronize");
}
bool Stream::idle() const {
  return true;
}
void Stream::wait_for(const Event& /*event*/) const {}

Event::Event(Timing timing) : handle_(new FakeEvent{0, timing == Timing::on}) {}
void Event::release() noexcept {
  delete static_cast<FakeEvent*>(handle_);
}
void Event::record(const Stream& stream) const {
  auto* event = static_cast<FakeEvent*>(handle_);
  testing::enqueue_on_fake(stream.handle(), [event] { event->at_ns = fake_device().device_ns(); });
}
bool Event::done() const {
  fail_when_asked("cudaEventQuery");
  FakeDevice& device = fake_device();
  if (device.pending_looks > 0) {
    --device.pending_looks;
    return false;
  }
  return true;
}
void Event::synchronize() const {
  fail_when_asked("cudaEventSynchronize");
}
double Event::seconds_since(const Event& earlier) const {
  const auto* self = static_cast<const FakeEvent*>(handle_);
  const auto* other = static_cast<const FakeEvent*>(earlier.handle_);
  LOCKSTEP_EXPECT(self->timed && other->timed, "an event that keeps no time");
  return static_cast<double>(self->at_ns - other->at_ns) * 1e-9;
}

Graph Graph::capture(const Stream& stream, const std::function<void()>& work) {
  auto graph = std::make_unique<FakeGraph>();
  auto* fake = static_cast<FakeStream*>(stream.handle());
  fake->captured = graph.get();
  try {
    work();
  } catch (...) {
    fake->captured = nullptr;
    throw;
  }
  fake->captured = nullptr;
  ++fake_device().captures;
  return Graph(graph.release());
}
void Graph::release() noexcept {
  delete static_cast<FakeGraph*>(handle_);
}
void Graph::launch(const Stream& /*stream*/) const {
  ++fake_device().launches;
  for (const auto& work : static_cast<const FakeGraph*>(handle_)->work)
    work();
}

bool has_runtime_compiler() {
  return false;
}

AdamKernel::AdamKernel() {}
AdamKernel::~AdamKernel() {}

void AdamKernel::run(const AdamArrays& arrays, const AdamCoefficients& coefficients,
                     const Stream& stream) const {
  const detail::AdamArguments arguments = detail::adam_arguments(arrays, coefficients);
  testing::enqueue_on_fake(stream.handle(), [arguments] { testing::adam_kernel_on_host(arguments); });
}

}  // namespace lockstep::cuda

/// For the fake cuBLASLt, which is loaded as a library of its own.
extern "C" void lockstep_fake_enqueue(void* stream, void (*work)(void*), void (*discard)(void*), void* data) {
  const std::shared_ptr<void> kept(data, discard);
  lockstep::cuda::testing::enqueue_on_fake(stream, [work, kept] { work(kept.get()); });
}
