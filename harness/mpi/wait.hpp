#pragma once

#include <cstdint>

namespace lockstep::mpi {

/// An instant after which a wait is given up.
class Deadline {
 public:
  /// `seconds` from now; must be positive.
  explicit Deadline(double seconds);
  [[nodiscard]] bool passed() const;
  /// The length it was made with, for messages.
  [[nodiscard]] double seconds() const { return seconds_; }

 private:
  double seconds_ = 0.0;
  std::int64_t at_ns_ = 0;
};

/// How a set-up wait shares its core.
enum class WaitStyle {
  patient,  ///< yields, and soon sleeps: others compute or measure meanwhile
  prompt,   ///< yields only: the instant of completion is itself measured
};

/// What to do between two looks at a request that is not complete.
class Backoff {
 public:
  explicit Backoff(WaitStyle style) : style_(style) {}
  void pause();

 private:
  WaitStyle style_;
  std::uint32_t pauses_ = 0;
};

}  // namespace lockstep::mpi
