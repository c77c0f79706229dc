#include "harness/cuda/stream.hpp"

#include "harness/cuda/refuse.hpp"

// No object of these classes is ever made here: the constructors refuse.
namespace lockstep::cuda {

using detail::refuse;

Stream::Stream(StreamPriority /*priority*/) {
  refuse("making a CUDA stream");
}
void Stream::release() noexcept {
  handle_ = nullptr;
}
void Stream::synchronize() const {}
bool Stream::idle() const {
  return true;
}
void Stream::wait_for(const Event& /*event*/) const {}

Event::Event(Timing /*timing*/) {
  refuse("making a CUDA event");
}
void Event::release() noexcept {
  handle_ = nullptr;
}
void Event::record(const Stream& /*stream*/) const {}
bool Event::done() const {
  return true;
}
void Event::synchronize() const {}
double Event::seconds_since(const Event& /*earlier*/) const {
  return 0.0;
}

Graph Graph::capture(const Stream& /*stream*/, const std::function<void()>& /*work*/) {
  refuse("capturing a CUDA graph");
}
void Graph::release() noexcept {
  handle_ = nullptr;
}
void Graph::launch(const Stream& /*stream*/) const {}

void make_current(int /*device*/) {
  refuse("choosing a CUDA device");
}

}  // namespace lockstep::cuda
