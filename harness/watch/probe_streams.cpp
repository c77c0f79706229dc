#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <vector>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>

#include "harness/core/clock.hpp"
#include "harness/core/units.hpp"
#include "harness/watch/probe_client.hpp"
#include "harness/watch/probe_frame.hpp"

namespace lockstep::watch {
namespace {

constexpr double kRampShare = 0.3;  // TCP finds its rate in this part of the time
constexpr double kDrainS = 10.0;    // for what is still queued when the time is over
constexpr std::size_t kWriteBytes = std::size_t{256} * 1024;

std::uint64_t retransmits_of(int fd) {
  tcp_info info{};
  socklen_t length = sizeof info;
  if (::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) != 0)
    return 0;
  return info.tcpi_total_retrans;
}

struct Stream {
  UniqueFd fd;
  bool broken = false;
};

/// Writes to whichever stream takes more, until the time is over.
void fill(std::vector<Stream>& streams, std::int64_t end_ns) {
  const std::vector<std::byte> data(kWriteBytes);
  while (monotonic_ns() < end_ns) {
    std::vector<pollfd> waiting;
    waiting.reserve(streams.size());
    for (const Stream& stream : streams)
      waiting.push_back({stream.broken ? -1 : stream.fd.get(), POLLOUT, 0});
    const std::int64_t left_ms = (end_ns - monotonic_ns()) / 1'000'000 + 1;
    if (::poll(waiting.data(), waiting.size(), static_cast<int>(left_ms)) <= 0)
      continue;
    for (std::size_t i = 0; i < streams.size(); ++i) {
      if (waiting[i].revents == 0)
        continue;
      const ssize_t sent = ::send(streams[i].fd.get(), data.data(), data.size(), MSG_NOSIGNAL);
      if (sent < 0 && errno != EAGAIN && errno != EINTR)
        streams[i].broken = true;
    }
    if (std::all_of(streams.begin(), streams.end(), [](const Stream& stream) { return stream.broken; }))
      return;
  }
}

}  // namespace

StreamRate ProbeClient::send_streams(std::uint32_t streams, double seconds) {
  StreamRate result;
  result.streams = streams;
  const Peer peer{token_, place_, {address_}, tcp_port_, udp_port_};
  const std::int64_t ramp_ns = static_cast<std::int64_t>(seconds * kRampShare * kNsPerS);
  const std::int64_t ready_by_ns = monotonic_ns() + static_cast<std::int64_t>(kDrainS * kNsPerS);
  std::vector<Stream> open_streams;
  for (std::uint32_t i = 0; i < streams; ++i) {
    OpenedProbe opened = open_probe(peer, kDrainS);
    if (!opened.client) {
      result.error = opened.attempts.front().error;
      return result;
    }
    Stream& stream = open_streams.emplace_back();
    stream.fd = std::move(opened.client->fd_);
    const auto begin = encode({.kind = FrameKind::stream, .token = token_, .number = i, .first = ramp_ns});
    if (send_all(stream.fd.get(), begin, ready_by_ns) != Transfer::done) {
      result.error = "the connection broke";
      return result;
    }
  }
  fill(open_streams, monotonic_ns() + static_cast<std::int64_t>(seconds * kNsPerS));
  for (const Stream& stream : open_streams)
    ::shutdown(stream.fd.get(), SHUT_WR);
  const std::int64_t deadline_ns = monotonic_ns() + static_cast<std::int64_t>(kDrainS * kNsPerS);
  for (const Stream& stream : open_streams) {
    std::array<std::byte, kFrameBytes> bytes{};
    const Transfer got = receive_all(stream.fd.get(), bytes, deadline_ns);
    const auto frame = got == Transfer::done ? decode(bytes) : std::nullopt;
    if (!frame || frame->kind != FrameKind::stream) {
      result.error = got == Transfer::done ? "something else than a probe answers" : to_string(got);
      return result;
    }
    result.retransmits += retransmits_of(stream.fd.get());
    if (frame->second > 0) {
      // Each stream by its own time: they do not end at the same instant.
      const double counted_s = seconds_from_ns(frame->second);
      result.bytes_per_s += static_cast<double>(frame->first) / counted_s;
      result.seconds = std::max(result.seconds, counted_s);
    }
  }
  if (result.seconds <= 0.0)
    result.error = "nothing arrived in time";
  return result;
}

}  // namespace lockstep::watch
