#include "harness/cuda/bounded_call.hpp"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>

#include "harness/core/clock.hpp"

namespace lockstep::cuda {
namespace {

std::atomic<std::uint64_t>& under_way() noexcept {
  static std::atomic<std::uint64_t> count{0};
  return count;
}

}  // namespace

struct BoundedCall::State {
  std::mutex mutex;
  std::condition_variable wake;
  bool returned = false;
};

BoundedCall::BoundedCall(std::function<void()> call) noexcept {
  ++under_way();
  try {
    state_ = std::make_shared<State>();
    std::thread([state = state_, call = std::move(call)]() mutable {
      call();
      call = nullptr;  // what it owns goes before anybody is told
      --under_way();
      {
        const std::lock_guard lock(state->mutex);
        state->returned = true;
      }
      state->wake.notify_all();
    }).detach();
  } catch (const std::exception&) {
    // Out of memory or threads: returned_by() says no, which is what the caller has to live with anyway.
    --under_way();
  }
}

bool BoundedCall::returned_by(std::int64_t deadline_ns) const noexcept {
  if (!state_)
    return false;
  std::unique_lock lock(state_->mutex);
  while (!state_->returned) {
    const std::int64_t left_ns = deadline_ns - monotonic_ns();
    if (left_ns <= 0)
      return false;
    state_->wake.wait_for(lock, std::chrono::nanoseconds(left_ns));
  }
  return true;
}

std::uint64_t calls_left_behind() noexcept {
  return under_way().load();
}

}  // namespace lockstep::cuda
