#include "harness/plan/network.hpp"

#include <algorithm>
#include <charconv>
#include <string>

#include <arpa/inet.h>

namespace lockstep::plan {
namespace {

constexpr std::uint8_t kBitsV4 = 32;
constexpr std::uint8_t kBitsV6 = 128;

std::uint8_t bits_of(Network::Family family) {
  return family == Network::Family::ipv4 ? kBitsV4 : kBitsV6;
}

Network masked(Network network) {
  for (std::size_t byte = 0; byte < network.address.size(); ++byte) {
    const int kept = std::clamp(static_cast<int>(network.prefix) - static_cast<int>(byte) * 8, 0, 8);
    network.address[byte] = static_cast<std::uint8_t>(network.address[byte] & (0xff00U >> kept));
  }
  return network;
}

}  // namespace

std::optional<Network> parse_address(std::string_view text) {
  const std::string plain(text.substr(0, text.find('%')));
  Network network;
  if (inet_pton(AF_INET, plain.c_str(), network.address.data()) == 1) {
    network.family = Network::Family::ipv4;
    network.prefix = kBitsV4;
    return network;
  }
  if (inet_pton(AF_INET6, plain.c_str(), network.address.data()) != 1)
    return std::nullopt;
  constexpr std::array<std::uint8_t, 12> kMapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  if (std::equal(kMapped.begin(), kMapped.end(), network.address.begin())) {
    Network mapped;
    std::copy_n(network.address.begin() + kMapped.size(), 4, mapped.address.begin());
    mapped.prefix = kBitsV4;
    return mapped;
  }
  network.family = Network::Family::ipv6;
  network.prefix = kBitsV6;
  return network;
}

std::optional<ParsedNetwork> parse_network(std::string_view text) {
  const std::size_t slash = text.find('/');
  if (slash == std::string_view::npos)
    return std::nullopt;
  const std::string_view prefix_text = text.substr(slash + 1);
  const std::optional<Network> address = parse_address(text.substr(0, slash));
  unsigned prefix = 0;
  const char* end = prefix_text.data() + prefix_text.size();
  const auto [stop, error] = std::from_chars(prefix_text.data(), end, prefix);
  if (!address || error != std::errc{} || stop != end || prefix > bits_of(address->family))
    return std::nullopt;
  ParsedNetwork parsed;
  parsed.network = *address;
  parsed.network.prefix = static_cast<std::uint8_t>(prefix);
  const Network cut = masked(parsed.network);
  parsed.had_host_bits = cut != parsed.network;
  parsed.network = cut;
  return parsed;
}

bool contains(const Network& outer, const Network& inner) {
  if (outer.family != inner.family || inner.prefix < outer.prefix)
    return false;
  Network cut = inner;
  cut.prefix = outer.prefix;
  return masked(cut) == outer;
}

std::string to_string(const Network& network) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  const int family = network.family == Network::Family::ipv4 ? AF_INET : AF_INET6;
  inet_ntop(family, network.address.data(), text.data(), static_cast<socklen_t>(text.size()));
  std::string result(text.data());
  if (network.prefix < bits_of(network.family))
    result += "/" + std::to_string(network.prefix);
  return result;
}

}  // namespace lockstep::plan
