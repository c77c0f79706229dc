#include "harness/watch/probe_client.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include <netinet/in.h>
#include <poll.h>

#include "harness/core/clock.hpp"
#include "harness/core/units.hpp"
#include "harness/stats/quantile.hpp"
#include "harness/watch/interfaces.hpp"
#include "harness/watch/probe_frame.hpp"

namespace lockstep::watch {
namespace {

constexpr std::int64_t kOthersNs = 1'000'000'000;  // what slower addresses get once one works
constexpr std::int64_t kAnswerNs = 5'000'000'000;

std::int64_t ns_from(double seconds) {
  return static_cast<std::int64_t>(seconds * kNsPerS);
}

/// Sends a frame and takes the answer to it.
struct Answer {
  std::optional<Frame> frame;
  std::string error;
};
Answer ask(int fd, const Frame& request, std::int64_t deadline_ns) {
  if (const Transfer sent = send_all(fd, encode(request), deadline_ns); sent != Transfer::done)
    return {{}, to_string(sent)};
  std::array<std::byte, kFrameBytes> bytes{};
  if (const Transfer got = receive_all(fd, bytes, deadline_ns); got != Transfer::done)
    return {{}, to_string(got)};
  const auto frame = decode(bytes);
  if (!frame || frame->token != request.token || frame->kind != request.kind)
    return {{}, "something else than a probe answers"};
  return {frame, {}};
}

/// One address on its way from SYN to hello.
struct Candidate {
  std::string address;
  UniqueFd fd;
  std::string error;
  bool connected = false;
  bool settled = false;  ///< it works, or it has an error
};

std::vector<Candidate> begin_all(const Peer& peer) {
  std::vector<Candidate> candidates;
  for (const std::string& address : peer.addresses) {
    Candidate& candidate = candidates.emplace_back();
    candidate.address = address;
    const auto target = socket_address(address, peer.tcp_port);
    if (!target) {
      candidate.error = "no numeric address";
      candidate.settled = true;
      continue;
    }
    Connecting connecting = begin_connect(*target);
    candidate.fd = std::move(connecting.fd);
    if (connecting.error != 0 && connecting.error != EINPROGRESS) {
      candidate.error = std::strerror(connecting.error);
      candidate.settled = true;
    }
  }
  return candidates;
}

/// The connection stands: is it the right one who answers?
void greet(Candidate& candidate, const Peer& peer, std::int64_t deadline_ns) {
  const Frame hello{
      .kind = FrameKind::hello, .token = peer.token, .number = peer.place, .first = 0, .second = 0};
  const Answer answer = ask(candidate.fd.get(), hello, deadline_ns);
  if (!answer.frame)
    candidate.error = "connected, then " + answer.error;
  else if (answer.frame->number != peer.place)
    candidate.error = "another host answers at this address";
}

}  // namespace

ProbeClient::ProbeClient(const Peer& peer, std::string address, UniqueFd fd)
    : token_(peer.token),
      place_(peer.place),
      tcp_port_(peer.tcp_port),
      udp_port_(peer.udp_port),
      address_(std::move(address)),
      fd_(std::move(fd)) {}

OpenedProbe open_probe(const Peer& peer, double deadline_s) {
  std::int64_t deadline_ns = monotonic_ns() + ns_from(deadline_s);
  std::vector<Candidate> candidates = begin_all(peer);
  const auto unsettled = [](const Candidate& candidate) { return !candidate.settled; };
  while (std::any_of(candidates.begin(), candidates.end(), unsettled)) {
    std::vector<pollfd> waiting;
    waiting.reserve(candidates.size());
    for (const Candidate& candidate : candidates) {
      // A negative descriptor is passed over.
      waiting.push_back({candidate.settled ? -1 : candidate.fd.get(), POLLOUT, 0});
    }
    const std::int64_t left_ns = deadline_ns - monotonic_ns();
    if (left_ns <= 0)
      break;
    ::poll(waiting.data(), waiting.size(), static_cast<int>(left_ns / 1'000'000 + 1));
    for (std::size_t i = 0; i < candidates.size(); ++i) {
      Candidate& candidate = candidates[i];
      if (candidate.settled || waiting[i].revents == 0)
        continue;
      candidate.settled = true;
      if (const int error = socket_error(candidate.fd.get()); error != 0) {
        candidate.error = std::strerror(error);
        continue;
      }
      greet(candidate, peer, deadline_ns);
      if (candidate.error.empty()) {
        candidate.connected = true;
        deadline_ns = std::min(deadline_ns, monotonic_ns() + kOthersNs);
      }
    }
  }
  OpenedProbe opened;
  for (Candidate& candidate : candidates) {
    if (!candidate.settled)
      candidate.error = "no answer in time";
    opened.attempts.push_back({candidate.address, candidate.error});
    if (candidate.connected && !opened.client)
      opened.client.emplace(peer, candidate.address, std::move(candidate.fd));
  }
  return opened;
}

RoundTrips ProbeClient::round_trips(const LatencyRequest& request) {
  const std::int64_t begin_ns = monotonic_ns();
  const std::int64_t deadline_ns = begin_ns + ns_from(request.deadline_s);
  RoundTrips result;
  std::vector<double> times_s;
  const auto has_enough = [&] {
    return times_s.size() >= request.least && monotonic_ns() - begin_ns >= ns_from(request.enough_s);
  };
  while (times_s.size() < request.exchanges && !has_enough()) {
    const std::int64_t sent_utc_ns = utc_ns();
    const std::int64_t sent_ns = monotonic_ns();
    const Answer answer =
        ask(fd_.get(), {.kind = FrameKind::ping, .token = token_, .number = times_s.size()}, deadline_ns);
    const std::int64_t got_ns = monotonic_ns();
    const std::int64_t got_utc_ns = utc_ns();
    if (!answer.frame) {
      result.error = answer.error;
      break;
    }
    // The peer's own time between its two stamps is not the network's.
    const double time_s = seconds_from_ns((got_ns - sent_ns) - (answer.frame->second - answer.frame->first));
    if (times_s.empty() || time_s < *std::min_element(times_s.begin(), times_s.end())) {
      // ((t2 - t1) + (t3 - t4)) / 2, in integers: seconds since 1970 have no room for microseconds in a
      // double's difference of sums.
      result.clock_offset_s =
          seconds_from_ns((answer.frame->first - sent_utc_ns) + (answer.frame->second - got_utc_ns)) / 2.0;
      result.clock_bound_s = time_s / 2.0;
    }
    times_s.push_back(time_s);
  }
  const stats::Summary summary = stats::summarize(times_s);
  result.exchanges = static_cast<std::uint32_t>(summary.count);
  result.min_s = summary.min;
  result.p50_s = summary.p50;
  result.p99_s = summary.p99;
  return result;
}

DatagramTrain ProbeClient::send_train(std::uint64_t train, std::uint32_t datagrams, double interval_s) {
  DatagramTrain result;
  const auto target = socket_address(address_, udp_port_);
  const UniqueFd fd(target ? ::socket(target->family(), SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0) : -1);
  if (!fd.valid()) {
    result.error = std::strerror(errno);
    return result;
  }
  const std::int64_t begin_ns = monotonic_ns();
  for (std::uint32_t i = 0; i < datagrams; ++i) {
    sleep_until_ns(begin_ns + ns_from(interval_s * i));
    const auto bytes = encode({.kind = FrameKind::datagram, .token = token_, .number = train, .first = i});
    // A full queue of our own is no loss of the network: that datagram was not sent.
    if (::sendto(fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL, target->get(), target->length) > 0)
      ++result.sent;
  }
  const auto count = [&]() -> Answer {
    return ask(fd_.get(), {.kind = FrameKind::count, .token = token_, .number = train},
               monotonic_ns() + kAnswerNs);
  };
  // The question travels behind the last datagram, but by another queue: some may still be on their way.
  constexpr int kMostQuestions = 5;
  for (int i = 0; i < kMostQuestions; ++i) {
    const Answer answer = count();
    if (!answer.frame) {
      result.error = answer.error;
      return result;
    }
    result.received = static_cast<std::uint32_t>(answer.frame->first);
    if (result.received >= result.sent)
      break;
    sleep_until_ns(monotonic_ns() + ns_from(0.02));
  }
  return result;
}

}  // namespace lockstep::watch
