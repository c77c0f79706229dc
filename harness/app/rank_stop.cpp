#include "harness/app/rank_stop.hpp"

#include <algorithm>
#include <atomic>
#include <csignal>

namespace lockstep::app {
namespace {

constexpr std::int64_t kVoteNs = 500'000'000;
constexpr std::int64_t kMostSteps = 1000;

// Lock-free, so a signal handler may store into it.
std::atomic<bool> asked{false};
static_assert(std::atomic<bool>::is_always_lock_free);

void note_request(int) {
  asked.store(true, std::memory_order_relaxed);
}

}  // namespace

void take_stop_requests() {
  struct sigaction action {};
  action.sa_handler = &note_request;
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;  // no system call of a transport is to fail because of it
  ::sigaction(SIGUSR1, &action, nullptr);
}

bool stop_requested() noexcept {
  return asked.load(std::memory_order_relaxed);
}

StopVote::StopVote(const mpi::Communicator& ranks, double deadline_s)
    : ranks_(ranks.duplicate(deadline_s)), deadline_s_(deadline_s), ballot_(std::make_shared<Ballot>()) {}

void StopVote::begin(std::uint32_t step, std::int64_t now_ns) {
  const std::int64_t steps = std::max<std::int64_t>(1, step - begun_at_);
  // Of the first vote, which has no time before it, nothing is known: it lasts one step.
  ballot_->own = {stop_requested() ? 1 : 0, begun_ns_ > 0 ? (now_ns - begun_ns_) / steps : kVoteNs};
  // What was agreed on is the same on all ranks, so all conclude after the same step.
  const std::int64_t agreed_ns = ballot_->agreed.step_ns;
  const std::int64_t wait = agreed_ns > 0 ? std::clamp<std::int64_t>(kVoteNs / agreed_ns, 1, kMostSteps) : 1;
  concluded_at_ = step + static_cast<std::uint32_t>(wait);
  begun_at_ = step;
  begun_ns_ = now_ns;
  constexpr std::size_t kValues = sizeof(Vote) / sizeof(std::int64_t);
  vote_ = ranks_.start_all_reduce(&ballot_->own, &ballot_->agreed, kValues, mpi::DataType::i64,
                                  mpi::Reduction::max);
  vote_.own(ballot_);
}

bool StopVote::ends_after(std::uint32_t step, std::int64_t now_ns) {
  if (step < concluded_at_)
    return false;
  if (vote_.is_pending() && !vote_.test())
    vote_.wait(deadline_s_, mpi::WaitStyle::prompt);
  if (ballot_->agreed.stop != 0)
    return true;
  begin(step, now_ns);
  return false;
}

void StopVote::close() {
  if (vote_.is_pending())
    vote_.wait(deadline_s_);
}

}  // namespace lockstep::app
