#include "harness/cuda/queue.hpp"

#include <vector>

#include "harness/core/error.hpp"
#include "harness/cuda/memory.hpp"

namespace lockstep::cuda {
namespace {

class StreamQueue final : public Queue {
 public:
  StreamQueue(std::size_t marks, StreamPriority priority) : stream_(priority) {
    events_.reserve(marks);
    for (std::size_t i = 0; i < marks; ++i)
      events_.emplace_back(Event::Timing::off);
  }

  [[nodiscard]] CUstream_st* stream() const override { return static_cast<CUstream_st*>(stream_.handle()); }
  void copy(void* to, const void* from, std::size_t bytes) override { cuda::copy(to, from, bytes, stream_); }
  void mark(std::size_t index) override {
    LOCKSTEP_EXPECT(index < events_.size(), "no such mark");
    events_[index].record(stream_);
  }
  [[nodiscard]] bool reached(std::size_t index) override {
    LOCKSTEP_EXPECT(index < events_.size(), "no such mark");
    return events_[index].done();
  }

 private:
  Stream stream_;
  std::vector<Event> events_;
};

}  // namespace

std::unique_ptr<Queue> make_queue(std::size_t marks, StreamPriority priority) {
  return std::make_unique<StreamQueue>(marks, priority);
}

}  // namespace lockstep::cuda
