#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <vector>

#include <netinet/in.h>
#include <poll.h>

#include "harness/core/clock.hpp"
#include "harness/core/units.hpp"
#include "harness/watch/interfaces.hpp"
#include "harness/watch/probe_client.hpp"
#include "harness/watch/probe_frame.hpp"

namespace lockstep::watch {
namespace {

constexpr std::uint32_t kHeadersIpv4 = 28;  // IP and UDP
constexpr std::uint32_t kHeadersIpv6 = 48;
constexpr std::uint32_t kLeastIpv4 = 576;  // every host must take this much
constexpr std::uint32_t kLeastIpv6 = 1280;
constexpr std::uint32_t kMostPacket = 65535;
constexpr int kTries = 3;
constexpr double kLeastPatienceS = 0.1;

/// Sends packets of one size that routers may not take apart.
class SizeProbe {
 public:
  SizeProbe(const SocketAddress& target, std::uint64_t token, double round_trip_s)
      : headers_(target.family() == AF_INET6 ? kHeadersIpv6 : kHeadersIpv4),
        token_(token),
        patience_ns_(static_cast<std::int64_t>(std::max(3.0 * round_trip_s, kLeastPatienceS) * kNsPerS)) {
    fd_ = UniqueFd(::socket(target.family(), SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!fd_.valid() || ::connect(fd_.get(), target.get(), target.length) != 0)
      return;
    // PROBE: do not fragment, and do not believe what the kernel has learnt of this path.
    const bool v6 = target.family() == AF_INET6;
    const int how = IP_PMTUDISC_PROBE;
    static_assert(IP_PMTUDISC_PROBE == IPV6_PMTUDISC_PROBE);
    ready_ = ::setsockopt(fd_.get(), v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_MTU_DISCOVER : IP_MTU_DISCOVER,
                          &how, sizeof how) == 0;
  }
  [[nodiscard]] bool ready() const { return ready_; }
  [[nodiscard]] int fd() const { return fd_.get(); }

  /// Whether a packet of `bytes`, headers and all, arrives.
  [[nodiscard]] bool arrives(std::uint32_t bytes) {
    std::vector<std::byte> packet(bytes - headers_);
    for (int i = 0; i < kTries; ++i) {
      const auto frame = encode({.kind = FrameKind::size, .token = token_, .number = bytes});
      std::memcpy(packet.data(), frame.data(), frame.size());
      if (::send(fd_.get(), packet.data(), packet.size(), MSG_NOSIGNAL) < 0) {
        if (errno == EMSGSIZE)
          return false;
        continue;
      }
      if (answered(bytes))
        return true;
    }
    return false;
  }

 private:
  [[nodiscard]] bool answered(std::uint32_t bytes) {
    const std::int64_t deadline_ns = monotonic_ns() + patience_ns_;
    while (wait_for(fd_.get(), POLLIN, deadline_ns)) {
      std::array<std::byte, kFrameBytes> answer{};
      const ssize_t got = ::recv(fd_.get(), answer.data(), answer.size(), 0);
      const auto frame = got > 0 ? decode(answer) : std::nullopt;
      // Late answers to sizes before are passed over.
      if (frame && frame->token == token_ && frame->number == bytes)
        return true;
    }
    return false;
  }

  std::uint32_t headers_;
  std::uint64_t token_;
  std::int64_t patience_ns_;
  UniqueFd fd_;
  bool ready_ = false;
};

}  // namespace

PathMtu ProbeClient::path_mtu(double round_trip_s) {
  PathMtu result;
  const auto target = socket_address(address_, udp_port_);
  if (!target)
    return result;
  SizeProbe probe(*target, token_, round_trip_s);
  if (!probe.ready())
    return result;
  const std::string own = local_address(probe.fd());
  for (const InterfaceAddress& entry : interface_addresses()) {
    if (entry.address == own) {
      result.interface = entry.interface;
      result.interface_mtu = entry.mtu;
      break;
    }
  }
  const std::uint32_t least = target->family() == AF_INET6 ? kLeastIpv6 : kLeastIpv4;
  std::uint32_t too_large = std::min(result.interface_mtu > 0 ? result.interface_mtu : 1500, kMostPacket);
  if (probe.arrives(too_large)) {
    result.path_mtu = too_large;
    return result;
  }
  if (too_large <= least || !probe.arrives(least))
    return result;
  std::uint32_t good = least;
  while (too_large - good > 1) {
    const std::uint32_t middle = good + (too_large - good) / 2;
    if (probe.arrives(middle))
      good = middle;
    else
      too_large = middle;
  }
  result.path_mtu = good;
  return result;
}

}  // namespace lockstep::watch
