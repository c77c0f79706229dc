#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace lockstep::watch {

/// One address of a network interface that is up.
struct InterfaceAddress {
  std::string interface;  ///< such as "eth0"
  std::string address;    ///< numeric
  std::uint32_t mtu = 0;  ///< bytes of an IP packet; 0 when it cannot be read
  bool loopback = false;
  bool operator==(const InterfaceAddress&) const = default;
};

/// In the kernel's order, without IPv6 link-local addresses (they mean nothing off their own link).
[[nodiscard]] std::vector<InterfaceAddress> interface_addresses();

}  // namespace lockstep::watch
