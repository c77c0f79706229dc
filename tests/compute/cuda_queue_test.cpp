#include "harness/compute/cuda_queue.hpp"

#include <string>
#include <vector>

#include <gmock/gmock.h>

#include "harness/core/clock.hpp"
#include "harness/core/error.hpp"
#include "harness/cuda/device.hpp"
#include "tests/compute/small_graph.hpp"
#include "tests/cuda/fake_device.hpp"

namespace lockstep::compute {
namespace {

using cuda::testing::enqueue_on_fake;
using cuda::testing::fake_device;
using testing::gemm_of;
using testing::product_graph;

/// `count` products; a communication follows after those named, and nothing waits for it.
step::StepGraph chain(std::uint32_t count, const std::vector<std::uint32_t>& sent = {}) {
  step::StepGraph graph = product_graph(gemm_of(2, 2, 2));
  const step::Op product = graph.ops[0];
  graph.ops.clear();
  for (std::uint32_t i = 0; i < count; ++i) {
    graph.ops.push_back(product);
    graph.ops.back().name = "op" + std::to_string(i);
  }
  for (const std::uint32_t op : sent)
    graph.ops.push_back({"comm" + std::to_string(op), step::Phase::backward, step::Comm{}, {OpId{op}}});
  return graph;
}

class CudaQueueTest : public ::testing::Test {
 protected:
  CudaQueueTest() { fake_device() = {}; }

  CudaQueue queue(const step::StepGraph& graph, CaptureMode capture, double expected_s = 0.0) {
    return CudaQueue(
        graph, 0,
        [this](const step::Op& op, step::BufferSet& /*buffers*/, const cuda::Stream& stream) {
          ++enqueued_;
          enqueue_on_fake(stream.handle(), [this, name = op.name] {
            ran_.push_back(name);
            const std::int64_t until_ns = monotonic_ns() + work_ns_;
            while (monotonic_ns() < until_ns) {
            }
          });
        },
        capture, std::vector<double>(graph.ops.size(), expected_s));
  }
  static std::vector<OpId> ops(std::uint32_t count) {
    std::vector<OpId> made;
    for (std::uint32_t i = 0; i < count; ++i)
      made.emplace_back(i);
    return made;
  }

  step::StepGraph empty_;
  step::BufferSet buffers_{empty_, step::BufferSet::Need::all, RankId{0}};
  std::vector<std::string> ran_;
  int enqueued_ = 0;
  std::int64_t work_ns_ = 0;
};

TEST_F(CudaQueueTest, TellsWhatIsDoneInOrder) {
  const step::StepGraph graph = chain(3);
  CudaQueue q = queue(graph, CaptureMode::off);
  q.begin_step();
  EXPECT_EQ(q.completed(), 0U);
  q.submit(ops(3), buffers_);
  EXPECT_THAT(ran_, ::testing::ElementsAre("op0", "op1", "op2"));
  fake_device().pending_looks = 1;
  EXPECT_EQ(q.completed(), 0U);
  EXPECT_EQ(q.completed(), 3U);
  q.begin_step();
  EXPECT_EQ(q.completed(), 0U) << "a new step";
}

TEST_F(CudaQueueTest, TimesLieOnTheHostsClockWithinTheStatedError) {
  const step::StepGraph graph = chain(2);
  fake_device().drift = 30e-6;
  CudaQueue q = queue(graph, CaptureMode::off);
  q.calibrate(5);
  work_ns_ = 300'000;
  q.begin_step();
  const std::int64_t before_ns = monotonic_ns();
  q.submit(ops(2), buffers_);
  const std::int64_t after_ns = monotonic_ns();
  ASSERT_EQ(q.completed(), 2U);
  const auto times = q.times();
  ASSERT_EQ(times.size(), 2U);
  const std::int64_t error_ns = q.times_error_ns();
  EXPECT_GT(error_ns, 0);
  EXPECT_GE(times[0].begin_ns, before_ns - error_ns);
  EXPECT_LE(times[1].end_ns, after_ns + error_ns);
  for (const step::OpTimes& time : times)
    EXPECT_GE(time.end_ns - time.begin_ns, 299'000);
  EXPECT_GE(times[1].begin_ns, times[0].end_ns) << "a launch gap is never negative";
}

TEST_F(CudaQueueTest, TheGapBeforeAnOpThatCameLateShows) {
  const step::StepGraph graph = chain(2);
  CudaQueue q = queue(graph, CaptureMode::off);
  q.begin_step();
  const std::vector<OpId> both = ops(2);
  q.submit({&both[0], 1}, buffers_);
  sleep_until_ns(monotonic_ns() + 2'000'000);
  q.submit({&both[1], 1}, buffers_);
  ASSERT_EQ(q.completed(), 2U);
  const auto times = q.times();
  EXPECT_GE(times[1].begin_ns - times[0].end_ns, 1'990'000);
}

TEST_F(CudaQueueTest, ACapturedStretchIsEnqueuedOnceAndLaunchedEveryTime) {
  const step::StepGraph graph = chain(4);
  CudaQueue q = queue(graph, CaptureMode::on);
  for (int step = 0; step < 3; ++step) {
    ran_.clear();
    q.begin_step();
    q.submit(ops(4), buffers_);
    EXPECT_THAT(ran_, ::testing::ElementsAre("op0", "op1", "op2", "op3"));
    EXPECT_EQ(q.completed(), 4U);
    const auto times = q.times();
    for (std::size_t i = 1; i < 4; ++i)
      EXPECT_GE(times[i].begin_ns, times[i - 1].end_ns);
  }
  EXPECT_EQ(enqueued_, 4);
  EXPECT_EQ(fake_device().captures, 1);
  EXPECT_EQ(fake_device().launches, 3);
}

TEST_F(CudaQueueTest, ACapturedStretchEndsWhereACommunicationWaits) {
  const step::StepGraph graph = chain(5, {1, 2});
  CudaQueue q = queue(graph, CaptureMode::on);
  q.begin_step();
  q.submit(ops(5), buffers_);
  EXPECT_EQ(q.captured(), 3U) << "op0 op1 | op2 | op3 op4";
  EXPECT_EQ(q.completed(), 5U);
}

TEST_F(CudaQueueTest, ByItselfItCapturesShortOpsOnly) {
  const step::StepGraph graph = chain(4);
  for (const auto& [seconds, captured] :
       std::vector<std::pair<double, std::size_t>>{{5e-6, 1}, {1e-3, 0}, {0.0, 0}}) {
    CudaQueue q = queue(graph, CaptureMode::automatic, seconds);
    q.begin_step();
    q.submit(ops(4), buffers_);
    EXPECT_EQ(q.captured(), captured) << seconds;
  }
  CudaQueue few = queue(graph, CaptureMode::automatic, 5e-6);
  few.begin_step();
  few.submit(ops(3), buffers_);
  EXPECT_EQ(few.captured(), 0U);
}

TEST_F(CudaQueueTest, ACardThatFailsIsAnError) {
  const step::StepGraph graph = chain(2);
  CudaQueue q = queue(graph, CaptureMode::off);
  q.begin_step();
  q.submit(ops(2), buffers_);
  fake_device().fails_after_calls = fake_device().calls;
  EXPECT_THROW(static_cast<void>(q.completed()), RunError);
  fake_device() = {};
}

}  // namespace
}  // namespace lockstep::compute
