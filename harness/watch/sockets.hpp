#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include <sys/socket.h>

#include "harness/core/posix.hpp"

/// Sockets whose every wait has a deadline (monotonic_ns() axis). What the network does is data: these
/// functions return it and throw only when this machine itself cannot go on.
namespace lockstep::watch {

/// A numeric IPv4 or IPv6 address with a port.
struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t length = 0;
  [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
  [[nodiscard]] int family() const { return storage.ss_family; }
};
/// nullopt when the text is no numeric address.
[[nodiscard]] std::optional<SocketAddress> socket_address(const std::string& address, std::uint16_t port);
/// The address without the port; an IPv4 address mapped into IPv6 as that IPv4 address.
[[nodiscard]] std::string address_text(const SocketAddress& address);
/// Address of this end; empty when the socket has none.
[[nodiscard]] std::string local_address(int fd);

struct BoundSocket {
  UniqueFd fd;  ///< not blocking
  std::uint16_t port = 0;
};
/// On a port that the kernel chooses, on every address of this machine, IPv4 and IPv6 where there is both.
/// Throws RunError when the kernel refuses.
[[nodiscard]] BoundSocket listen_tcp();
[[nodiscard]] BoundSocket bind_udp();

/// Waits until `fd` has one of `events` (POLLIN, POLLOUT), an error or a hang-up. False at the deadline.
[[nodiscard]] bool wait_for(int fd, short events, std::int64_t deadline_ns);

/// Begins to connect. `error` is 0, or EINPROGRESS, or why it cannot be.
struct Connecting {
  UniqueFd fd;
  int error = 0;
};
[[nodiscard]] Connecting begin_connect(const SocketAddress& to);
/// The socket's pending error, 0 when it has none.
[[nodiscard]] int socket_error(int fd);

enum class Transfer { done, closed, timed_out, failed };
[[nodiscard]] const char* to_string(Transfer transfer);
/// All of the bytes, or why not. `closed`: the other side ended the connection.
[[nodiscard]] Transfer send_all(int fd, std::span<const std::byte> bytes, std::int64_t deadline_ns);
[[nodiscard]] Transfer receive_all(int fd, std::span<std::byte> bytes, std::int64_t deadline_ns);

}  // namespace lockstep::watch
