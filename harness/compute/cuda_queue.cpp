#include "harness/compute/cuda_queue.hpp"

#include <algorithm>
#include <utility>

#include "harness/core/clock.hpp"
#include "harness/core/error.hpp"

namespace lockstep::compute {
namespace {

constexpr std::int64_t kReadClockEveryNs = 100'000'000;
/// A launch costs the host 2 to 5 us, an event half of that. From here on ops hide it well.
constexpr double kShortOpS = 50e-6;
constexpr std::size_t kFewestCaptured = 4;

}  // namespace

CudaQueue::CudaQueue(const step::StepGraph& graph, int device, EnqueueOp enqueue, CaptureMode capture,
                     std::vector<double> expected_s)
    : graph_(graph),
      device_(device),
      enqueue_(std::move(enqueue)),
      capture_(capture),
      expected_s_(std::move(expected_s)),
      releases_(graph.ops.size(), false) {
  LOCKSTEP_EXPECT(expected_s_.size() == graph.ops.size(), "one expected time an op");
  for (std::uint32_t i = 0; i < graph.ops.size(); ++i) {
    if (graph.ops[i].stream() == step::Stream::compute) {
      events_.try_emplace(i);
      continue;
    }
    for (const OpId dependency : graph.ops[i].after)
      releases_[dependency.value()] = true;
  }
  submitted_.reserve(events_.size());
  times_.reserve(events_.size());
}

void CudaQueue::read_clock() {
  const int next = anchor_ < 0 ? 0 : 1 - anchor_;
  const std::int64_t before_ns = monotonic_ns();
  anchors_[next].record(stream_);
  while (!anchors_[next].done()) {
  }
  const std::int64_t after_ns = monotonic_ns();
  if (anchor_ >= 0)
    anchor_s_ += anchors_[next].seconds_since(anchors_[anchor_]);
  anchor_ = next;
  anchor_host_ns_ = after_ns;
  clock_.add({anchor_s_, before_ns, after_ns});
}

void CudaQueue::calibrate(int readings) {
  cuda::make_current(device_);
  for (int i = 0; i < readings; ++i) {
    read_clock();
    sleep_until_ns(monotonic_ns() + 1'000'000);
  }
}

void CudaQueue::begin_step() {
  cuda::make_current(device_);
  if (anchor_ < 0 || monotonic_ns() - anchor_host_ns_ > kReadClockEveryNs)
    read_clock();
  submitted_.clear();
  times_.clear();
  done_ = 0;
}

void CudaQueue::enqueue(OpId op, step::BufferSet& buffers) {
  const OpEvents& events = events_.at(op.value());
  events.begin.record(stream_);
  enqueue_(graph_.op(op), buffers, stream_);
  events.end.record(stream_);
}

bool CudaQueue::is_captured(std::span<const OpId> ops) const {
  if (capture_ != CaptureMode::automatic)
    return capture_ == CaptureMode::on;
  double expected_s = 0.0;
  for (const OpId op : ops)
    expected_s += expected_s_[op.value()];
  return ops.size() >= kFewestCaptured && expected_s > 0.0 &&
         expected_s < kShortOpS * static_cast<double>(ops.size());
}

void CudaQueue::submit_piece(std::span<const OpId> ops, step::BufferSet& buffers) {
  if (!is_captured(ops)) {
    for (const OpId op : ops) {
      enqueue(op, buffers);
      submitted_.push_back({op, &events_.at(op.value()).end});
    }
    return;
  }
  auto found = graphs_.find(ops.front().value());
  if (found == graphs_.end()) {
    cuda::Graph graph = cuda::Graph::capture(stream_, [&] {
      for (const OpId op : ops)
        enqueue(op, buffers);
    });
    found = graphs_.emplace(ops.front().value(), Captured{std::move(graph)}).first;
  }
  // The ops' own events still tell of the launch before until the device has come to them.
  found->second.graph.launch(stream_);
  found->second.done.record(stream_);
  for (const OpId op : ops)
    submitted_.push_back({op, &found->second.done});
}

void CudaQueue::submit(std::span<const OpId> ops, step::BufferSet& buffers) {
  // A captured piece is known to be done only as a whole: it ends where a communication waits for an op.
  std::size_t first = 0;
  for (std::size_t i = 0; i < ops.size(); ++i) {
    if (!releases_[ops[i].value()] && i + 1 < ops.size())
      continue;
    submit_piece(ops.subspan(first, i + 1 - first), buffers);
    first = i + 1;
  }
}

std::size_t CudaQueue::completed() {
  while (done_ < submitted_.size() && submitted_[done_].done->done())
    ++done_;
  return done_;
}

std::span<const step::OpTimes> CudaQueue::times() {
  LOCKSTEP_EXPECT(done_ == submitted_.size(), "times of ops that are under way");
  times_.clear();
  double last_s = anchor_s_;
  for (const Submitted& submitted : submitted_) {
    const OpEvents& events = events_.at(submitted.op.value());
    const double begin_s = anchor_s_ + events.begin.seconds_since(anchors_[anchor_]);
    last_s = anchor_s_ + events.end.seconds_since(anchors_[anchor_]);
    times_.push_back({clock_.host_ns(begin_s), clock_.host_ns(last_s)});
  }
  times_error_ns_ = clock_.error_ns(last_s);
  return times_;
}

void CudaQueue::run_alone(const step::Op& op, step::BufferSet& buffers) {
  cuda::make_current(device_);
  enqueue_(op, buffers, stream_);
  stream_.synchronize();
}

}  // namespace lockstep::compute
