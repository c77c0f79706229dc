#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "harness/plan/network.hpp"
#include "harness/plan/plan.hpp"

/// What a site's `hosts` mean, entry by entry. Internal to this room.
namespace lockstep::plan {

/// More names than this in one pattern is a slip, and would fill the memory.
constexpr std::uint64_t kMostHostsPerPattern = 1'000'000;

/// One name, address or network of a site, after expansion of its pattern.
struct HostEntry {
  std::string text;                ///< lower-case, as expanded
  std::size_t declared_index = 0;  ///< index of the pattern in Site::hosts that it came from
  std::optional<Network> network;  ///< set for addresses and networks, unset for names
  bool is_single_host = true;      ///< false for CIDR notation
};

/// Expands and classifies. Throws InputError (without file and line) for the first malformed entry.
[[nodiscard]] std::vector<HostEntry> parse_hosts(std::span<const std::string> hosts);

/// The same for one entry of `hosts`.
[[nodiscard]] std::vector<HostEntry> parse_host(std::string_view host, std::size_t declared_index);

/// Lower case (ASCII): host names are compared without regard to case.
[[nodiscard]] std::string lower_case(std::string_view text);

/// The part before the first dot.
[[nodiscard]] std::string_view short_name(std::string_view name);

/// Whether two lower-case host names can mean one host: equal, or one of them is the short form of the other.
/// `n1.a.example` and `n1.b.example` are two hosts; `n1` can be either.
[[nodiscard]] bool may_be_same_host(std::string_view a, std::string_view b);

}  // namespace lockstep::plan
