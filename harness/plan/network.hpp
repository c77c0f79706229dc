#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace lockstep::plan {

/// An IPv4 or IPv6 network; a single address is one with the full prefix. Host bits are always zero.
/// Two networks are either disjoint or one contains the other.
struct Network {
  enum class Family : std::uint8_t { ipv4, ipv6 };
  Family family = Family::ipv4;
  std::array<std::uint8_t, 16> address{};  ///< network byte order; IPv4 in the first four bytes
  std::uint8_t prefix = 0;                 ///< leading bits that count
  // The checker of clang 14 takes the comparison with 0 that the compiler generates for a null pointer.
  auto operator<=>(const Network&) const = default;  // NOLINT(modernize-use-nullptr)
};

/// An address without prefix: `10.1.0.7`, `fd00::7`. A zone (`fe80::1%eth0`) is ignored, and an IPv4 address
/// mapped into IPv6 is that IPv4 address. nullopt when the text is no address.
[[nodiscard]] std::optional<Network> parse_address(std::string_view text);

/// CIDR notation. nullopt when the text is none.
struct ParsedNetwork {
  Network network;
  bool had_host_bits = false;  ///< `10.1.2.3/16`: most likely a slip
};
[[nodiscard]] std::optional<ParsedNetwork> parse_network(std::string_view text);

/// True when every address of `inner` lies in `outer`.
[[nodiscard]] bool contains(const Network& outer, const Network& inner);

/// As CIDR notation; a single address without its prefix.
[[nodiscard]] std::string to_string(const Network& network);

}  // namespace lockstep::plan
