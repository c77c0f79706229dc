#include "harness/topology/clock_sync.hpp"

#include <algorithm>
#include <limits>
#include <memory>
#include <vector>

#include "harness/core/error.hpp"
#include "harness/core/units.hpp"

namespace lockstep::topology {
namespace {

constexpr int kGoTag = 9001;
constexpr int kQuestionTag = 9002;
constexpr int kAnswerTag = 9003;
constexpr int kEstimateTag = 9004;

constexpr std::int64_t kAsk = 1;
constexpr std::int64_t kEnough = 0;

using Clock = std::function<std::int64_t()>;
using Words = std::vector<std::int64_t>;

/// Short messages of whole numbers with one other rank. The buffers outlive a wait that was given up.
class Line {
 public:
  Line(const mpi::Communicator& leg, RankId other, const mpi::Deadline& deadline)
      : leg_(leg), other_(static_cast<int>(other.value())), deadline_(deadline) {}

  void send(Words words, int tag, mpi::WaitStyle style) {
    const auto buffer = std::make_shared<Words>(std::move(words));
    mpi::Request request = leg_.start_send(buffer->data(), buffer->size(), mpi::DataType::i64, other_, tag);
    request.own(buffer);
    request.wait(deadline_, style);
  }
  [[nodiscard]] Words receive(std::size_t count, int tag, mpi::WaitStyle style) {
    const auto buffer = std::make_shared<Words>(count);
    mpi::Request request = leg_.start_receive(buffer->data(), count, mpi::DataType::i64, other_, tag);
    request.own(buffer);
    request.wait(deadline_, style);
    return *buffer;
  }
  /// The exchange's instants lie as close to the wire as they can: memory is made ready before.
  ClockExchange ask(const Clock& now_ns) {
    const auto question = std::make_shared<Words>(1, kAsk);
    const auto answer = std::make_shared<Words>(1);
    mpi::Request receive = leg_.start_receive(answer->data(), 1, mpi::DataType::i64, other_, kAnswerTag);
    receive.own(answer);
    ClockExchange exchange;
    exchange.sent_ns = now_ns();
    mpi::Request send = leg_.start_send(question->data(), 1, mpi::DataType::i64, other_, kQuestionTag);
    send.own(question);
    receive.wait(deadline_, mpi::WaitStyle::prompt);
    exchange.received_ns = now_ns();
    exchange.remote_ns = answer->front();
    send.wait(deadline_, mpi::WaitStyle::prompt);
    return exchange;
  }

 private:
  const mpi::Communicator& leg_;
  int other_;
  const mpi::Deadline& deadline_;
};

ClockEstimate measure(Line& parent, const Clock& now_ns, const ClockSyncOptions& options) {
  static_cast<void>(parent.receive(1, kGoTag, mpi::WaitStyle::patient));
  const std::int64_t stop_ns = now_ns() + static_cast<std::int64_t>(options.pair_limit_s * kNsPerS);
  ClockExchange best = parent.ask(now_ns);
  for (std::uint32_t i = 1; i < options.exchanges; ++i) {
    if (i >= options.least_exchanges && now_ns() > stop_ns)
      break;
    const ClockExchange next = parent.ask(now_ns);
    if (next.round_trip_ns() < best.round_trip_ns())
      best = next;
  }
  parent.send({kEnough}, kQuestionTag, mpi::WaitStyle::prompt);
  return estimate_offset(best);
}

void answer(Line& child, const Clock& now_ns) {
  child.send({kAsk}, kGoTag, mpi::WaitStyle::patient);
  while (child.receive(1, kQuestionTag, mpi::WaitStyle::prompt).front() == kAsk)
    child.send({now_ns()}, kAnswerTag, mpi::WaitStyle::prompt);
}

/// How far this rank's readings stray from the CLOCK_MONOTONIC that it shares with others, at most.
std::int64_t reading_error_ns(const Clock& now_ns) {
  constexpr int kLooks = 64;
  std::int64_t least_width = std::numeric_limits<std::int64_t>::max();
  std::int64_t error = 0;
  for (int i = 0; i < kLooks; ++i) {
    const std::int64_t before = monotonic_ns();
    const std::int64_t reading = now_ns();
    const std::int64_t after = monotonic_ns();
    if (after - before >= least_width)
      continue;
    least_width = after - before;
    error = std::max(std::abs(reading - before), std::abs(after - reading));
  }
  return error;
}

Words pack(const ClockEstimate& estimate, std::int64_t reading_error) {
  return {estimate.local_ns, estimate.offset_ns, estimate.bound_ns, reading_error};
}

ClockEstimate follow_parent(const mpi::Communicator& leg, const ClockParent& parent, const Clock& now_ns,
                            const ClockSyncOptions& options, const mpi::Deadline& deadline) {
  if (parent.link == ClockLink::root)
    return {now_ns(), 0, 0};
  Line line(leg, parent.parent, deadline);
  ClockEstimate to_parent;
  if (parent.link == ClockLink::measured)
    to_parent = measure(line, now_ns, options);
  const Words said = line.receive(4, kEstimateTag, mpi::WaitStyle::patient);
  const ClockEstimate of_parent{said[0], said[1], said[2]};
  if (parent.link == ClockLink::shared) {
    // One clock, so the parent's instant is one of ours too, and no time passes between the two.
    const std::int64_t error = said[3] + reading_error_ns(now_ns);
    return {of_parent.local_ns, of_parent.offset_ns, of_parent.bound_ns + error};
  }
  return compose(to_parent, of_parent, parent.parent == RankId(0) ? 0.0 : kDriftPpm);
}

}  // namespace

ClockEstimate synchronize_clocks(const mpi::Communicator& leg, const ClockTree& tree, const Clock& now_ns,
                                 const ClockSyncOptions& options) {
  LOCKSTEP_EXPECT(tree.size() == static_cast<std::size_t>(leg.size()), "the clock tree is of another leg");
  LOCKSTEP_EXPECT(options.exchanges > 0, "clocks are compared by at least one exchange");
  const mpi::Deadline deadline(options.deadline_s);
  const auto self = static_cast<std::uint32_t>(leg.rank());
  const ClockEstimate own = follow_parent(leg, tree[self], now_ns, options, deadline);

  // Leaders of other sites first: they have hosts of their own waiting, and measure them while we go on with
  // ours.
  std::vector<std::uint32_t> measuring;
  std::vector<std::uint32_t> sharing;
  std::vector<std::uint32_t> leading;
  for (std::uint32_t rank = 0; rank < tree.size(); ++rank) {
    if (rank == self || tree[rank].parent != RankId(self))
      continue;
    const bool leads = std::any_of(tree.begin(), tree.end(), [rank](const ClockParent& entry) {
      return entry.parent == RankId(rank) && entry.link == ClockLink::measured;
    });
    if (tree[rank].link == ClockLink::shared)
      sharing.push_back(rank);
    else
      (leads ? leading : measuring).push_back(rank);
  }
  leading.insert(leading.end(), measuring.begin(), measuring.end());
  const std::int64_t error = reading_error_ns(now_ns);
  for (const std::uint32_t rank : leading) {
    Line line(leg, RankId(rank), deadline);
    answer(line, now_ns);
    line.send(pack(own, error), kEstimateTag, mpi::WaitStyle::patient);
  }
  for (const std::uint32_t rank : sharing)
    Line(leg, RankId(rank), deadline).send(pack(own, error), kEstimateTag, mpi::WaitStyle::patient);
  return own;
}

ClockEstimate synchronize_clocks(const mpi::Communicator& leg, const ClockTree& tree, const FastClock& clock,
                                 const ClockSyncOptions& options) {
  return synchronize_clocks(
      leg, tree, [&clock] { return clock.now_ns(); }, options);
}

}  // namespace lockstep::topology
