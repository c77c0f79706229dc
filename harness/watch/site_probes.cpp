#include "harness/watch/site_probes.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "harness/core/clock.hpp"
#include "harness/core/error.hpp"
#include "harness/core/units.hpp"

namespace lockstep::watch {
namespace {

constexpr std::int64_t kNsPerMs = 1'000'000;
constexpr int kLongestSleepMs = 200;
/// A thread that is woken a millisecond late is none the worse, and wakes the machine less often.
constexpr unsigned long kTimerSlackNs = 1'000'000;
constexpr std::int64_t kAnswer =
    1;  // frame.second: 0 in a question, the answerer's own time + 1 in an answer

std::int64_t pack(std::uint32_t from, std::uint32_t to) {
  return static_cast<std::int64_t>(std::uint64_t{from} << 32U | to);
}
std::uint32_t asker_of(const Frame& frame) {
  return static_cast<std::uint32_t>(static_cast<std::uint64_t>(frame.first) >> 32U);
}
std::uint32_t asked_of(const Frame& frame) {
  return static_cast<std::uint32_t>(static_cast<std::uint64_t>(frame.first));
}

/// As a socket of this family takes it; nullopt when it takes none such.
std::optional<SocketAddress> for_family(const std::string& address, std::uint16_t port, int family) {
  const bool is_v4 = address.find(':') == std::string::npos;
  if (family == AF_INET)
    return is_v4 ? socket_address(address, port) : std::nullopt;
  return socket_address(is_v4 ? "::ffff:" + address : address, port);
}

int family_of(int fd) {
  SocketAddress own;
  own.length = sizeof own.storage;
  return ::getsockname(fd, reinterpret_cast<sockaddr*>(&own.storage), &own.length) == 0 ? own.family()
                                                                                        : AF_INET;
}

/// When the kernel took the packet in; now where it does not say.
std::int64_t arrival_ns(msghdr& message) {
  for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr; part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level == SOL_SOCKET && part->cmsg_type == SO_TIMESTAMPNS) {
      timespec at{};
      std::memcpy(&at, CMSG_DATA(part), sizeof at);
      return std::int64_t{at.tv_sec} * 1'000'000'000 + at.tv_nsec;
    }
  }
  return utc_ns();
}

}  // namespace

ProbeLedger::Window& ProbeLedger::window_at(std::int64_t begin_ns) {
  return *std::find_if(windows_.begin(), windows_.end(),
                       [begin_ns](const Window& window) { return window.row.begin_ns == begin_ns; });
}

std::uint64_t ProbeLedger::send(std::int64_t now_ns) {
  if (windows_.empty() || now_ns >= windows_.back().row.end_ns) {
    windows_.emplace_back();
    windows_.back().row.begin_ns = now_ns;
    windows_.back().row.end_ns = now_ns + kWindowNs;
    windows_.back().row.received = std::exchange(heard_between_, 0);
  }
  Window& window = windows_.back();
  ++window.row.sent;
  ++window.awaited;
  awaited_.push_back({next_, now_ns, window.row.begin_ns});
  return next_++;
}

bool ProbeLedger::answer(std::uint64_t number, const ProbeTimes& times) {
  const auto packet = std::find_if(awaited_.begin(), awaited_.end(),
                                   [number](const Packet& entry) { return entry.number == number; });
  if (packet == awaited_.end())
    return false;
  Window& window = window_at(packet->window_ns);
  awaited_.erase(packet);
  --window.awaited;
  record::ProbeRow& row = window.row;
  const auto note = [first = window.answered == 0](std::int64_t value_ns, std::int64_t& min_ns,
                                                   std::int64_t& max_ns) {
    min_ns = first ? value_ns : std::min(min_ns, value_ns);
    max_ns = first ? value_ns : std::max(max_ns, value_ns);
  };
  note(times.round_trip_ns, row.rtt_min_ns, row.rtt_max_ns);
  note(times.out_ns, row.out_min_ns, row.out_max_ns);
  note(times.back_ns, row.back_min_ns, row.back_max_ns);
  window.sum_ns += times.round_trip_ns;
  ++window.answered;
  return true;
}

void ProbeLedger::hear(std::int64_t now_ns) {
  if (windows_.empty() || now_ns >= windows_.back().row.end_ns)
    ++heard_between_;
  else
    ++windows_.back().row.received;
}

record::ProbeRow ProbeLedger::finished(const Window& window) {
  record::ProbeRow row = window.row;
  row.rtt_mean_ns = window.answered == 0 ? 0 : window.sum_ns / window.answered;
  return row;
}

std::vector<record::ProbeRow> ProbeLedger::settle(std::int64_t now_ns) {
  while (!awaited_.empty() && now_ns - awaited_.front().sent_ns >= kLostAfterNs) {
    Window& window = window_at(awaited_.front().window_ns);
    --window.awaited;
    ++window.row.lost;
    awaited_.pop_front();
  }
  std::vector<record::ProbeRow> rows;
  while (!windows_.empty() && windows_.front().awaited == 0 && now_ns >= windows_.front().row.end_ns) {
    rows.push_back(finished(windows_.front()));
    windows_.pop_front();
  }
  return rows;
}

std::vector<record::ProbeRow> ProbeLedger::close(std::int64_t now_ns) {
  std::vector<record::ProbeRow> rows = settle(now_ns);
  for (Window& window : windows_) {
    window.row.sent -= window.awaited;
    window.row.end_ns = std::min(window.row.end_ns, now_ns);
    if (window.row.sent > 0)
      rows.push_back(finished(window));
  }
  windows_.clear();
  awaited_.clear();
  return rows;
}

SiteProbes::SiteProbes(BoundSocket socket, const Options& options, std::vector<ProbePeer> peers,
                       std::function<void(const record::ProbeRow&)> add)
    : socket_(std::move(socket)), options_(options), add_(std::move(add)) {
  LOCKSTEP_EXPECT(options_.per_second > 0.0, "probes are sent at a rate");
  const int on = 1;
  ::setsockopt(socket_.fd.get(), SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
  const int family = family_of(socket_.fd.get());
  for (const ProbePeer& peer : peers) {
    Peer entry;
    entry.rank = peer.rank;
    for (const std::string& text : peer.addresses) {
      if (const auto address = for_family(text, peer.port, family))
        entry.addresses.push_back(*address);
    }
    if (!entry.addresses.empty())
      peers_.push_back(std::move(entry));
  }
  stop_ = UniqueFd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  thread_ = std::thread([this] { run(); });
}

SiteProbes::~SiteProbes() {
  const std::uint64_t one = 1;
  static_cast<void>(!::write(stop_.get(), &one, sizeof one));
  thread_.join();
  for (Peer& peer : peers_)
    give_out(peer.rank, peer.ledger.close(monotonic_ns()));
}

void SiteProbes::run() {
  ::prctl(PR_SET_NAME, "probes");
  ::prctl(PR_SET_TIMERSLACK, kTimerSlackNs);
  while (true) {
    const std::int64_t now_ns = monotonic_ns();
    send_due(now_ns);
    std::int64_t next_ns = now_ns + kLongestSleepMs * kNsPerMs;
    for (Peer& peer : peers_) {
      give_out(peer.rank, peer.ledger.settle(now_ns));
      next_ns = std::min(next_ns, peer.due_ns);
    }
    std::array<pollfd, 2> waiting{pollfd{stop_.get(), POLLIN, 0}, pollfd{socket_.fd.get(), POLLIN, 0}};
    const std::int64_t sleep_ms = (std::max<std::int64_t>(0, next_ns - now_ns) + kNsPerMs - 1) / kNsPerMs;
    ::poll(waiting.data(), waiting.size(), peers_.empty() ? -1 : static_cast<int>(sleep_ms));
    if (waiting[0].revents != 0)
      return;
    if (waiting[1].revents != 0)
      receive_all();
  }
}

void SiteProbes::send_due(std::int64_t now_ns) {
  const auto interval_ns = static_cast<std::int64_t>(kNsPerS / options_.per_second);
  for (Peer& peer : peers_) {
    if (now_ns < peer.due_ns)
      continue;
    send(peer, now_ns);
    // Late by more than an interval, as after a stop: no burst to make up for it.
    peer.due_ns = std::max(peer.due_ns + interval_ns, now_ns + interval_ns / 2);
  }
}

void SiteProbes::send(Peer& peer, std::int64_t now_ns) {
  if (!peer.settled)
    peer.next_address = (peer.next_address + 1) % peer.addresses.size();
  const SocketAddress& to = peer.addresses[peer.next_address];
  const std::uint64_t number = peer.ledger.send(now_ns);
  const auto bytes = encode({.kind = FrameKind::echo,
                             .token = options_.token,
                             .number = number,
                             .first = pack(options_.self, peer.rank),
                             .second = 0});
  peer.sent_utc_ns[number % peer.sent_utc_ns.size()] = utc_ns();
  // What cannot be sent is lost, as any other: the network is what is judged.
  static_cast<void>(
      ::sendto(socket_.fd.get(), bytes.data(), bytes.size(), MSG_DONTWAIT, to.get(), to.length));
}

void SiteProbes::receive_all() {
  while (true) {
    std::array<std::byte, kFrameBytes + 1> bytes{};
    alignas(cmsghdr) std::array<char, 256> control{};
    SocketAddress from;
    iovec part{bytes.data(), bytes.size()};
    msghdr message{};
    message.msg_name = &from.storage;
    message.msg_namelen = sizeof from.storage;
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const ssize_t got = ::recvmsg(socket_.fd.get(), &message, MSG_DONTWAIT);
    if (got < 0)
      return;
    from.length = message.msg_namelen;
    const auto frame = decode(std::span(bytes).first(static_cast<std::size_t>(got)));
    if (frame && frame->kind == FrameKind::echo && frame->token == options_.token)
      handle(*frame, from, arrival_ns(message));
  }
}

SiteProbes::Peer* SiteProbes::find(std::uint32_t rank) {
  const auto found =
      std::find_if(peers_.begin(), peers_.end(), [rank](const Peer& entry) { return entry.rank == rank; });
  return found == peers_.end() ? nullptr : &*found;
}

void SiteProbes::handle(const Frame& frame, const SocketAddress& from, std::int64_t arrived_utc_ns) {
  if (frame.second == 0) {
    if (asked_of(frame) != options_.self)
      return;  // its address means another host here
    if (Peer* asker = find(asker_of(frame)))
      asker->ledger.hear(monotonic_ns());
    Frame answer = frame;
    answer.second = kAnswer + std::max<std::int64_t>(0, utc_ns() - arrived_utc_ns);
    answer.third = arrived_utc_ns;
    const auto bytes = encode(answer);
    static_cast<void>(
        ::sendto(socket_.fd.get(), bytes.data(), bytes.size(), MSG_DONTWAIT, from.get(), from.length));
    return;
  }
  if (asker_of(frame) != options_.self)
    return;
  Peer* peer = find(asked_of(frame));
  if (peer == nullptr)
    return;
  const std::int64_t sent_ns = peer->sent_utc_ns[frame.number % peer->sent_utc_ns.size()];
  const std::int64_t answering_ns = frame.second - kAnswer;
  const ProbeTimes times{.round_trip_ns = std::max<std::int64_t>(1, arrived_utc_ns - sent_ns - answering_ns),
                         .out_ns = frame.third - sent_ns,
                         .back_ns = arrived_utc_ns - frame.third - answering_ns};
  if (!peer->ledger.answer(frame.number, times) || peer->settled)
    return;
  peer->settled = true;
  const auto same =
      std::find_if(peer->addresses.begin(), peer->addresses.end(),
                   [&from](const auto& address) { return address_text(address) == address_text(from); });
  if (same != peer->addresses.end())
    peer->next_address = static_cast<std::size_t>(same - peer->addresses.begin());
}

void SiteProbes::give_out(std::uint32_t peer, const std::vector<record::ProbeRow>& rows) const {
  for (record::ProbeRow row : rows) {
    row.rank = options_.self;
    row.peer = peer;
    add_(row);
  }
}

}  // namespace lockstep::watch
