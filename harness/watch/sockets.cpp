#include "harness/watch/sockets.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>

#include "harness/core/clock.hpp"
#include "harness/core/error.hpp"

namespace lockstep::watch {
namespace {

constexpr std::int64_t kNsPerMs = 1'000'000;

sockaddr_in as_ipv4(const SocketAddress& address) {
  sockaddr_in v4{};
  std::memcpy(&v4, &address.storage, sizeof v4);
  return v4;
}

sockaddr_in6 as_ipv6(const SocketAddress& address) {
  sockaddr_in6 v6{};
  std::memcpy(&v6, &address.storage, sizeof v6);
  return v6;
}

std::uint16_t port_of(int fd) {
  SocketAddress own;
  own.length = sizeof own.storage;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&own.storage), &own.length) != 0)
    return 0;
  return ntohs(own.family() == AF_INET6 ? as_ipv6(own).sin6_port : as_ipv4(own).sin_port);
}

/// On any address of one family; invalid when this machine lacks it.
UniqueFd bind_any(int family, int type) {
  UniqueFd fd(::socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.valid())
    return {};
  int bound = -1;
  if (family == AF_INET6) {
    const int both_families = 0;
    ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &both_families, sizeof both_families);
    sockaddr_in6 any{};
    any.sin6_family = AF_INET6;
    bound = ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&any), sizeof any);
  } else {
    sockaddr_in any{};
    any.sin_family = AF_INET;
    bound = ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&any), sizeof any);
  }
  if (bound != 0)
    return {};
  return fd;
}

BoundSocket bind_socket(int type) {
  BoundSocket bound;
  bound.fd = bind_any(AF_INET6, type);
  if (!bound.fd.valid())
    bound.fd = bind_any(AF_INET, type);
  constexpr int kWaitingConnections = 64;
  if (!bound.fd.valid() || (type == SOCK_STREAM && ::listen(bound.fd.get(), kWaitingConnections) != 0)) {
    throw RunError({.what = "cannot open a port for measurements",
                    .why = std::strerror(errno),
                    .suggestion = {},
                    .file = {}});
  }
  bound.port = port_of(bound.fd.get());
  return bound;
}

}  // namespace

std::optional<SocketAddress> socket_address(const std::string& address, std::uint16_t port) {
  SocketAddress made;
  sockaddr_in v4{};
  sockaddr_in6 v6{};
  if (::inet_pton(AF_INET, address.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    std::memcpy(&made.storage, &v4, sizeof v4);
    made.length = sizeof v4;
    return made;
  }
  if (::inet_pton(AF_INET6, address.c_str(), &v6.sin6_addr) == 1) {
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
    std::memcpy(&made.storage, &v6, sizeof v6);
    made.length = sizeof v6;
    return made;
  }
  return std::nullopt;
}

std::string address_text(const SocketAddress& address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (address.family() == AF_INET) {
    const sockaddr_in v4 = as_ipv4(address);
    ::inet_ntop(AF_INET, &v4.sin_addr, text.data(), text.size());
  } else if (address.family() == AF_INET6) {
    const sockaddr_in6 v6 = as_ipv6(address);
    if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr))
      ::inet_ntop(AF_INET, v6.sin6_addr.s6_addr + 12, text.data(), text.size());
    else
      ::inet_ntop(AF_INET6, &v6.sin6_addr, text.data(), text.size());
  }
  return text.data();
}

std::string local_address(int fd) {
  SocketAddress own;
  own.length = sizeof own.storage;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&own.storage), &own.length) != 0)
    return {};
  return address_text(own);
}

BoundSocket listen_tcp() {
  return bind_socket(SOCK_STREAM);
}

BoundSocket bind_udp() {
  return bind_socket(SOCK_DGRAM);
}

bool wait_for(int fd, short events, std::int64_t deadline_ns) {
  while (true) {
    const std::int64_t left_ns = std::max<std::int64_t>(deadline_ns - monotonic_ns(), 0);
    pollfd waiting{fd, events, 0};
    // Rounded up, so that the last millisecond is not spent in a busy loop.
    const int ready = ::poll(&waiting, 1, static_cast<int>((left_ns + kNsPerMs - 1) / kNsPerMs));
    if (ready > 0)
      return true;
    if (ready < 0 && errno != EINTR)
      return false;
    if (monotonic_ns() >= deadline_ns)
      return false;
  }
}

Connecting begin_connect(const SocketAddress& to) {
  Connecting connecting;
  connecting.fd = UniqueFd(::socket(to.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!connecting.fd.valid()) {
    connecting.error = errno;
    return connecting;
  }
  // A small message must not wait for the acknowledgement of the one before.
  const int at_once = 1;
  ::setsockopt(connecting.fd.get(), IPPROTO_TCP, TCP_NODELAY, &at_once, sizeof at_once);
  if (::connect(connecting.fd.get(), to.get(), to.length) != 0)
    connecting.error = errno;
  return connecting;
}

int socket_error(int fd) {
  int error = 0;
  socklen_t length = sizeof error;
  if (::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0)
    return errno;
  return error;
}

const char* to_string(Transfer transfer) {
  switch (transfer) {
    case Transfer::done:
      return "done";
    case Transfer::closed:
      return "the other side closed the connection";
    case Transfer::timed_out:
      return "no answer in time";
    case Transfer::failed:
      return "the connection broke";
  }
  return "";
}

Transfer send_all(int fd, std::span<const std::byte> bytes, std::int64_t deadline_ns) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent > 0) {
      bytes = bytes.subspan(static_cast<std::size_t>(sent));
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      if (!wait_for(fd, POLLOUT, deadline_ns))
        return Transfer::timed_out;
    } else if (errno != EINTR) {
      return errno == EPIPE || errno == ECONNRESET ? Transfer::closed : Transfer::failed;
    }
  }
  return Transfer::done;
}

Transfer receive_all(int fd, std::span<std::byte> bytes, std::int64_t deadline_ns) {
  while (!bytes.empty()) {
    const ssize_t got = ::recv(fd, bytes.data(), bytes.size(), 0);
    if (got > 0) {
      bytes = bytes.subspan(static_cast<std::size_t>(got));
    } else if (got == 0) {
      return Transfer::closed;
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      if (!wait_for(fd, POLLIN, deadline_ns))
        return Transfer::timed_out;
    } else if (errno != EINTR) {
      return errno == ECONNRESET ? Transfer::closed : Transfer::failed;
    }
  }
  return Transfer::done;
}

}  // namespace lockstep::watch
