#pragma once

#include <atomic>
#include <cstdint>
#include <span>

/// What the executor leaves behind of a step. The memory belongs to somebody else (a mapped journal, or a
/// vector in a test): a stamp is a store, with no system call, no allocation and no lock.
namespace lockstep::step {

/// Begin and end of one op, in ns on this rank's CLOCK_MONOTONIC. end_ns == 0: begun and not (yet) completed.
struct OpStamp {
  std::uint32_t step = 0;
  std::uint32_t op = 0;
  std::int64_t begin_ns = 0;
  std::int64_t end_ns = 0;
};

/// The same for a communication op, kept for every step.
struct CommStamp {
  std::uint32_t step = 0;
  std::uint32_t op = 0;
  std::int64_t begin_ns = 0;    ///< this rank entered the operation
  std::int64_t end_ns = 0;      ///< it is complete on this rank
  std::int64_t exposed_ns = 0;  ///< time that the compute stream stood still for it
};

enum StepFlag : std::uint32_t {
  kStepWarmup = 1U << 0,     ///< recorded, never judged
  kStepValidated = 1U << 1,  ///< reduced data were checked
  kStepCorrupt = 1U << 2,    ///< and found wrong
};

/// One step of one rank. end_ns == 0: not completed.
struct StepStamp {
  std::uint32_t step = 0;
  std::uint32_t flags = 0;
  std::int64_t begin_ns = 0;
  std::int64_t end_ns = 0;
  std::int64_t compute_ns = 0;  ///< sum of the compute ops' times
  std::int64_t exposed_ns = 0;  ///< time that the compute stream stood still for communication
  std::uint64_t checksum = 0;   ///< of the checked elements of all buckets; 0 when not validated
};

/// Index of a stamp: ops[(step % kept_steps) * ops_per_step + op], comms[step * comms_per_step + comm],
/// steps[step]. Every slot is zero before the run, and a slot is valid when its begin_ns is not 0.
struct Recording {
  std::span<OpStamp> ops;
  std::span<CommStamp> comms;
  std::span<StepStamp> steps;
  std::uint32_t ops_per_step = 0;
  std::uint32_t comms_per_step = 0;
  std::uint32_t kept_steps = 0;

  [[nodiscard]] OpStamp& op(std::uint32_t step, std::uint32_t index) const {
    return ops[static_cast<std::size_t>(step % kept_steps) * ops_per_step + index];
  }
  [[nodiscard]] CommStamp& comm(std::uint32_t step, std::size_t index) const {
    return comms[static_cast<std::size_t>(step) * comms_per_step + index];
  }
};

}  // namespace lockstep::step
