#include "harness/watch/probe_server.hpp"

#include <array>
#include <cerrno>
#include <vector>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>

#include "harness/core/clock.hpp"
#include "harness/core/units.hpp"

namespace lockstep::watch {
namespace {

constexpr std::int64_t kLookNs = 100'000'000;      // how often a waiting thread sees whether it has to end
constexpr std::int64_t kFrameNs = 10'000'000'000;  // for the rest of a frame that has begun
constexpr std::size_t kMostConnections = 64;
constexpr std::size_t kMostTrains = 4096;
constexpr std::size_t kMostDatagrams = 65536;  // of one train: a stranger must not fill the memory
constexpr std::size_t kReadBytes = std::size_t{256} * 1024;

std::int64_t soon() {
  return monotonic_ns() + kLookNs;
}

}  // namespace

ProbeServer::ProbeServer(std::uint64_t token, std::uint64_t place)
    : token_(token), place_(place), tcp_(listen_tcp()), udp_(bind_udp()) {
  accepting_ = std::thread([this] { accept_connections(); });
  answering_ = std::thread([this] { answer_datagrams(); });
}

ProbeServer::~ProbeServer() {
  stop_ = true;
  accepting_.join();
  answering_.join();
  for (Connection& connection : connections_) {
    ::shutdown(connection.fd.get(), SHUT_RDWR);
    connection.thread.join();
  }
}

void ProbeServer::accept_connections() {
  while (!stop_) {
    forget_ended_connections();
    if (!wait_for(tcp_.fd.get(), POLLIN, soon()))
      continue;
    UniqueFd fd(::accept4(tcp_.fd.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!fd.valid() || connections_.size() >= kMostConnections)
      continue;
    const int at_once = 1;
    ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &at_once, sizeof at_once);
    Connection& connection = connections_.emplace_back();
    connection.fd = std::move(fd);
    connection.thread = std::thread([this, &connection] { answer(connection); });
  }
}

void ProbeServer::forget_ended_connections() {
  for (auto at = connections_.begin(); at != connections_.end();) {
    if (!at->ended) {
      ++at;
      continue;
    }
    at->thread.join();
    at = connections_.erase(at);
  }
}

void ProbeServer::answer(Connection& connection) {
  const int fd = connection.fd.get();
  while (!stop_) {
    if (wait_for(fd, POLLIN, soon()) && !answer_one(fd))
      break;
  }
  ::shutdown(fd, SHUT_RDWR);
  connection.ended = true;
}

bool ProbeServer::answer_one(int fd) {
  std::array<std::byte, kFrameBytes> bytes{};
  if (receive_all(fd, bytes, monotonic_ns() + kFrameNs) != Transfer::done)
    return false;
  const std::int64_t received_ns = utc_ns();
  const auto request = decode(bytes);
  if (!request || request->token != token_)
    return false;
  Frame reply = *request;
  switch (request->kind) {
    case FrameKind::hello:
      reply.number = place_;
      break;
    case FrameKind::ping:
      reply.first = received_ns;
      reply.second = utc_ns();
      break;
    case FrameKind::count:
      reply.first = count_of(request->number);
      break;
    case FrameKind::stream:
      return sink_stream(fd, request->first);
    case FrameKind::datagram:
    case FrameKind::size:
    case FrameKind::echo:
      return false;
  }
  return send_all(fd, encode(reply), monotonic_ns() + kFrameNs) == Transfer::done;
}

bool ProbeServer::sink_stream(int fd, std::int64_t ramp_ns) {
  std::vector<std::byte> buffer(kReadBytes);
  std::int64_t begin_ns = 0;
  std::int64_t counted_from_ns = 0;
  std::int64_t counted = 0;
  std::int64_t last_ns = 0;
  while (!stop_) {
    if (!wait_for(fd, POLLIN, soon()))
      continue;
    const ssize_t got = ::recv(fd, buffer.data(), buffer.size(), 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
      continue;
    if (got < 0)
      return false;
    if (got == 0)
      break;
    last_ns = monotonic_ns();
    if (begin_ns == 0)
      begin_ns = last_ns;
    if (counted_from_ns > 0)
      counted += got;
    else if (last_ns - begin_ns >= ramp_ns)
      counted_from_ns = last_ns;
  }
  const Frame reply{.kind = FrameKind::stream,
                    .token = token_,
                    .number = 0,
                    .first = counted,
                    .second = counted_from_ns > 0 ? last_ns - counted_from_ns : 0};
  return send_all(fd, encode(reply), monotonic_ns() + kFrameNs) == Transfer::done;
}

void ProbeServer::answer_datagrams() {
  std::vector<std::byte> buffer(65536);
  while (!stop_) {
    if (!wait_for(udp_.fd.get(), POLLIN, soon()))
      continue;
    SocketAddress from;
    from.length = sizeof from.storage;
    const ssize_t got = ::recvfrom(udp_.fd.get(), buffer.data(), buffer.size(), 0,
                                   reinterpret_cast<sockaddr*>(&from.storage), &from.length);
    if (got < 0)
      continue;
    const auto frame = decode(std::span(buffer).first(static_cast<std::size_t>(got)));
    if (!frame || frame->token != token_)
      continue;
    if (frame->kind == FrameKind::datagram) {
      const std::lock_guard lock(trains_mutex_);
      if (trains_.size() < kMostTrains || trains_.contains(frame->number)) {
        auto& train = trains_[frame->number];
        if (train.size() < kMostDatagrams)
          train.insert(frame->first);
      }
    } else if (frame->kind == FrameKind::size) {
      Frame reply = *frame;
      reply.first = got;
      const auto bytes = encode(reply);
      // Lost answers are asked for again.
      static_cast<void>(
          ::sendto(udp_.fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL, from.get(), from.length));
    }
  }
}

std::int64_t ProbeServer::count_of(std::uint64_t train) {
  const std::lock_guard lock(trains_mutex_);
  const auto at = trains_.find(train);
  return at == trains_.end() ? 0 : static_cast<std::int64_t>(at->second.size());
}

}  // namespace lockstep::watch
