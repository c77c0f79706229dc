#include "harness/watch/interfaces.hpp"

#include <cstring>
#include <memory>

#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>

#include "harness/watch/sockets.hpp"

namespace lockstep::watch {
namespace {

std::uint32_t mtu_of(int fd, const char* interface) {
  ifreq request{};
  std::strncpy(request.ifr_name, interface, IFNAMSIZ - 1);
  if (::ioctl(fd, SIOCGIFMTU, &request) != 0)
    return 0;
  return static_cast<std::uint32_t>(request.ifr_mtu);
}

}  // namespace

std::vector<InterfaceAddress> interface_addresses() {
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0)
    return {};
  const std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)> owner(list, ::freeifaddrs);
  const UniqueFd any_socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  std::vector<InterfaceAddress> found;
  for (const ifaddrs* entry = list; entry != nullptr; entry = entry->ifa_next) {
    if (entry->ifa_addr == nullptr || (entry->ifa_flags & IFF_UP) == 0)
      continue;
    SocketAddress address;
    if (entry->ifa_addr->sa_family == AF_INET) {
      address.length = sizeof(sockaddr_in);
    } else if (entry->ifa_addr->sa_family == AF_INET6) {
      address.length = sizeof(sockaddr_in6);
      sockaddr_in6 v6{};
      std::memcpy(&v6, entry->ifa_addr, sizeof v6);
      if (IN6_IS_ADDR_LINKLOCAL(&v6.sin6_addr))
        continue;
    } else {
      continue;
    }
    std::memcpy(&address.storage, entry->ifa_addr, address.length);
    found.push_back({.interface = entry->ifa_name,
                     .address = address_text(address),
                     .mtu = mtu_of(any_socket.get(), entry->ifa_name),
                     .loopback = (entry->ifa_flags & IFF_LOOPBACK) != 0});
  }
  return found;
}

}  // namespace lockstep::watch
