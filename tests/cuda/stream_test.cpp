#include "harness/cuda/stream.hpp"

#include <vector>

#include <gmock/gmock.h>

#include "harness/cuda/blaslt.hpp"
#include "harness/cuda/device.hpp"
#include "harness/cuda/memory.hpp"
#include "harness/cuda/optimizer.hpp"

// Runs against whatever this build has on whatever this machine has, as device_test.cpp does.
namespace lockstep::cuda {
namespace {

bool has_device() {
  return detect().state == DeviceState::ready;
}

TEST(CudaStream, WithoutADeviceEverythingIsACheckedError) {
  if (has_device())
    GTEST_SKIP() << "this machine has a GPU";
  EXPECT_THROW(Stream(), CudaError);
  EXPECT_THROW(Event(), CudaError);
  EXPECT_THROW(make_current(0), CudaError);
  EXPECT_THROW(PinnedMemory(16), CudaError);
  EXPECT_EQ(PinnedMemory(0).bytes().size(), 0U) << "nothing needs no device";
  EXPECT_THROW(static_cast<void>(memory_state()), CudaError);
  EXPECT_THROW(static_cast<void>(allocate(16)), CudaError);
  EXPECT_NO_THROW(deallocate(nullptr));
  EXPECT_THROW(AdamKernel(), CudaError);
  EXPECT_THROW(BlasLt(), CudaError);
}

TEST(CudaStream, KeepsTheOrderOfItsWorkAndTimesIt) {
  if (!has_device())
    GTEST_SKIP() << "no GPU: " << detect().reason;
  const Stream stream(StreamPriority::high);
  const Event begin;
  const Event end;
  PinnedMemory sent(1 << 20);
  PinnedMemory received(1 << 20);
  for (std::size_t i = 0; i < sent.bytes().size(); ++i)
    sent.bytes()[i] = static_cast<std::byte>(i * 13);
  const DeviceMemory there(1 << 20);
  auto* data = static_cast<std::byte*>(there.data());
  begin.record(stream);
  copy_to_device(data, sent.bytes(), stream);
  copy_to_host(received.bytes(), data, stream);
  end.record(stream);
  end.synchronize();
  EXPECT_TRUE(end.done());
  EXPECT_TRUE(stream.idle());
  EXPECT_GT(end.seconds_since(begin), 0.0);
  EXPECT_TRUE(std::equal(sent.bytes().begin(), sent.bytes().end(), received.bytes().begin()));
}

TEST(CudaStream, AGraphDoesItsWorkAtEachLaunchAndStampsItsEvents) {
  if (!has_device())
    GTEST_SKIP() << "no GPU: " << detect().reason;
  const Stream stream;
  const Event before;
  const Event inside;
  PinnedMemory source(4096);
  PinnedMemory target(4096);
  const DeviceMemory there(4096);
  auto* data = static_cast<std::byte*>(there.data());
  const Graph graph = Graph::capture(stream, [&] {
    copy_to_device(data, source.bytes(), stream);
    inside.record(stream);
    copy_to_host(target.bytes(), data, stream);
  });
  for (const int value : {7, 42}) {
    std::fill(source.bytes().begin(), source.bytes().end(), static_cast<std::byte>(value));
    before.record(stream);
    graph.launch(stream);
    stream.synchronize();
    EXPECT_EQ(target.bytes()[4095], static_cast<std::byte>(value));
    EXPECT_GE(inside.seconds_since(before), 0.0);
  }
  EXPECT_THROW(static_cast<void>(Graph::capture(stream, [] { throw CudaError("x", 1, "y", "z"); })),
               CudaError);
  stream.synchronize();  // as before
}

TEST(CudaStream, CopiesAndFillsBlockUntilTheyAreDone) {
  if (!has_device())
    GTEST_SKIP() << "no GPU: " << detect().reason;
  std::byte* memory = allocate(1 << 16);
  ASSERT_NE(memory, nullptr);
  std::vector<std::byte> values(1 << 15, std::byte{3});
  clear(memory, 1 << 16);
  copy_to_device(memory, values);
  copy_on_device(memory + (1 << 15), memory, 1 << 15);
  std::vector<std::byte> back(1 << 16);
  copy_to_host(back, memory);
  EXPECT_THAT(back, ::testing::Each(std::byte{3}));
  EXPECT_EQ(allocate(std::size_t{1} << 60), nullptr);
  EXPECT_GT(memory_state().free_bytes, 0U);
  deallocate(memory);
}

}  // namespace
}  // namespace lockstep::cuda
