#pragma once

#include <cstdint>
#include <functional>
#include <memory>

namespace lockstep::cuda {

/// A foreign call that may never return, on a thread of its own that nobody has to wait for.
///
/// Sharp edge: a call that does not return keeps its thread until the process ends. A process that has left
/// any behind (calls_left_behind()) ends by _exit: static destructors would run beside it.
class BoundedCall {
 public:
  /// Begins `call`, which owns all that it uses and throws nothing. When no thread can be made the call is
  /// never made, and counts as one that does not return.
  explicit BoundedCall(std::function<void()> call) noexcept;
  /// Whether the call has returned; waits at most until `deadline_ns` (monotonic_ns()) for it.
  [[nodiscard]] bool returned_by(std::int64_t deadline_ns) const noexcept;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

/// Calls of this process that have been begun and have not returned.
[[nodiscard]] std::uint64_t calls_left_behind() noexcept;

}  // namespace lockstep::cuda
