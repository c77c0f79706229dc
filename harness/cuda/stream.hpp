#pragma once

#include <functional>
#include <utility>

/// Streams, events and graphs of the current device. Each belongs to the device that was current when it was
/// made, and has to be used while that one is. Everything here but destructors throws CudaError; an error may
/// come from work that was given to the device long before.
namespace lockstep::cuda {

/// Of a device's streams: work of a higher one goes first where both have some.
enum class StreamPriority { normal, high };

class Event;

/// Work in order. It does not wait for the default stream, nor that for it.
class Stream {
 public:
  explicit Stream(StreamPriority priority = StreamPriority::normal);
  Stream(Stream&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Stream& operator=(Stream&& other) noexcept;
  ~Stream();

  /// Returns when everything given to the stream is done. Sharp edge: a device that hangs never lets it
  /// return.
  void synchronize() const;
  /// Whether everything given to it is done. Never waits.
  [[nodiscard]] bool idle() const;
  /// What comes later in this stream begins after what `event` recorded.
  void wait_for(const Event& event) const;
  /// A cudaStream_t.
  [[nodiscard]] void* handle() const { return handle_; }

 private:
  void release() noexcept;

  void* handle_ = nullptr;
};

/// A point in a stream's work.
class Event {
 public:
  enum class Timing { on, off };
  explicit Event(Timing timing = Timing::on);
  Event(Event&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Event& operator=(Event&& other) noexcept;
  ~Event();

  /// Recorded into a graph that is being captured, it is stamped anew at each launch. Sharp edge: done() then
  /// tells of the launch before until the new one has come to it.
  void record(const Stream& stream) const;
  /// True also when it was never recorded. Never waits.
  [[nodiscard]] bool done() const;
  void synchronize() const;
  /// Both are done and keep time. CUDA gives ms as a float: the longer apart, the coarser (0.06 us at 1 s).
  [[nodiscard]] double seconds_since(const Event& earlier) const;
  [[nodiscard]] void* handle() const { return handle_; }

 private:
  void release() noexcept;

  void* handle_ = nullptr;
};

/// Work that was recorded instead of done, to be launched as one.
class Graph {
 public:
  /// What `work` gives to `stream`, and to no other one. What it throws is passed on, and the stream is as
  /// before.
  static Graph capture(const Stream& stream, const std::function<void()>& work);
  Graph(Graph&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Graph& operator=(Graph&& other) noexcept;
  ~Graph();

  void launch(const Stream& stream) const;

 private:
  explicit Graph(void* handle) : handle_(handle) {}
  void release() noexcept;

  void* handle_ = nullptr;
};

/// For the calling thread, until another one is made current. Throws CudaError.
void make_current(int device);

}  // namespace lockstep::cuda
