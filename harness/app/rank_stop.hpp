#pragma once

#include <cstdint>
#include <memory>

#include "harness/mpi/communicator.hpp"

namespace lockstep::app {

/// From now on SIGUSR1 asks this rank to stop at the end of a step instead of ending it. Call it first.
void take_stop_requests();
/// Whether it has come.
[[nodiscard]] bool stop_requested() noexcept;

/// Lets all ranks of a launch stop after the same step, though only some of them may have been asked to, and
/// not at the same moment.
///
/// Ranks that stopped after different steps would wait for each other for ever, so the step is agreed on: at
/// the end of a step every rank enters a nonblocking all-reduce (largest) of whether it was asked to stop. It
/// is concluded some steps later, at the same step on all ranks, where each reads the same answer; then the
/// next vote begins. The number of steps between comes out of the vote too (the longest step of any rank), so
/// that a vote takes about half a second: 16 bytes, moved while steps run. Between votes a rank pays a
/// comparison a step. Nothing is waited for unless steps are quicker than the network.
class StopVote {
 public:
  /// Duplicates `ranks`. Collective. `deadline_s`: of the wait for a vote.
  StopVote(const mpi::Communicator& ranks, double deadline_s);

  /// After each step, on every rank. True: this was the last step, on all of them. Throws DeadlineError and
  /// MpiError.
  [[nodiscard]] bool ends_after(std::uint32_t step, std::int64_t now_ns);
  /// From now on.
  void set_deadline(double deadline_s) { deadline_s_ = deadline_s; }
  /// Ends the vote under way. For every rank, after its last step.
  void close();

 private:
  struct Vote {
    std::int64_t stop = 0;     ///< 1: asked to
    std::int64_t step_ns = 0;  ///< length of a step
  };
  struct Ballot {
    Vote own;
    Vote agreed;  ///< largest of all ranks
  };
  void begin(std::uint32_t step, std::int64_t now_ns);

  mpi::Communicator ranks_;
  double deadline_s_;
  mpi::Request vote_;
  std::shared_ptr<Ballot> ballot_;  ///< the transport may still write to it when this has gone
  std::uint32_t concluded_at_ = 0;  ///< step after which the vote under way is read
  std::uint32_t begun_at_ = 0;
  std::int64_t begun_ns_ = 0;
};

}  // namespace lockstep::app
