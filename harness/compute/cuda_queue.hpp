#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "harness/compute/device_clock.hpp"
#include "harness/cuda/stream.hpp"
#include "harness/step/backends.hpp"

namespace lockstep::compute {

/// Whether stretches of ops are captured once and launched as one from then on.
enum class CaptureMode {
  off,
  automatic,  ///< where the ops are so short that launching them one by one would leave gaps
  on,
};

/// Gives one op to the stream; never waits for it.
using EnqueueOp =
    std::function<void(const step::Op& op, step::BufferSet& buffers, const cuda::Stream& stream)>;

/// Ops of a graph on one stream of a device, timed by events: two for each op, so that the time between the
/// end of one and the begin of the next, a launch gap, shows. (An event costs the stream a microsecond or
/// two.)
///
/// The device's clock is read at the begin of a step, ten times a second at most. Every method may throw
/// CudaError.
class CudaQueue final : public step::ComputeQueue {
 public:
  /// `expected_s[op]` is what an op takes alone, 0 when unknown; used to choose what to capture.
  CudaQueue(const step::StepGraph& graph, int device, EnqueueOp enqueue, CaptureMode capture,
            std::vector<double> expected_s);

  void begin_step() override;
  void submit(std::span<const OpId> ops, step::BufferSet& buffers) override;
  [[nodiscard]] std::size_t completed() override;
  [[nodiscard]] std::span<const step::OpTimes> times() override;

  /// Runs one op by itself, and waits for it.
  void run_alone(const step::Op& op, step::BufferSet& buffers);
  /// Reads the device's clock so many times.
  void calibrate(int readings);
  [[nodiscard]] const DeviceClock& clock() const { return clock_; }
  /// Most that times() of the last step are off, in ns.
  [[nodiscard]] std::int64_t times_error_ns() const { return times_error_ns_; }
  [[nodiscard]] std::size_t captured() const { return graphs_.size(); }
  [[nodiscard]] const cuda::Stream& stream() const { return stream_; }

 private:
  struct OpEvents {
    cuda::Event begin;
    cuda::Event end;
  };
  struct Captured {
    cuda::Graph graph;
    cuda::Event done{cuda::Event::Timing::off};
  };
  struct Submitted {
    OpId op;
    const cuda::Event* done = nullptr;
  };

  void read_clock();
  void submit_piece(std::span<const OpId> ops, step::BufferSet& buffers);
  void enqueue(OpId op, step::BufferSet& buffers);
  [[nodiscard]] bool is_captured(std::span<const OpId> ops) const;

  const step::StepGraph& graph_;
  int device_;
  EnqueueOp enqueue_;
  CaptureMode capture_;
  std::vector<double> expected_s_;
  std::vector<bool> releases_;  // by op: a communication waits for it
  cuda::Stream stream_;
  std::map<std::uint32_t, OpEvents> events_;  // by op
  std::map<std::uint32_t, Captured> graphs_;  // by first op
  std::vector<Submitted> submitted_;
  std::size_t done_ = 0;
  std::vector<step::OpTimes> times_;
  std::int64_t times_error_ns_ = 0;

  DeviceClock clock_;
  cuda::Event anchors_[2];
  int anchor_ = -1;  // the one that was recorded last; -1: none yet
  double anchor_s_ = 0.0;
  std::int64_t anchor_host_ns_ = 0;
};

}  // namespace lockstep::compute
