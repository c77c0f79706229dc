#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "harness/campaign/survey_data.hpp"
#include "harness/campaign/survey_messages.hpp"

/// Which hosts measure each other, in which order, over which addresses. Pure functions.
namespace lockstep::campaign {

/// Every pair of the hosts once, in rounds of disjoint pairs (the circle method of tournaments), so that no
/// host is in two measurements at a time: n - 1 rounds for an even number of hosts, n for an odd one.
[[nodiscard]] std::vector<std::vector<PathPair>> rounds_of_pairs(const std::vector<std::uint32_t>& hosts);

/// The same pairs the other way.
[[nodiscard]] std::vector<PathPair> reversed(std::vector<PathPair> pairs);

/// The pair of hosts that stands for each pair of sites in measurements of bandwidth: of those that reach
/// each other in both directions, the one with the median round trip, so that a host that sits elsewhere than
/// declared is not the one. With `inside_sites` a pair inside each site is added.
[[nodiscard]] std::vector<PathPair> bandwidth_pairs(const Survey& survey, bool inside_sites);

/// Addresses of a host that Open MPI's TCP transport would use under these settings, the only ones worth
/// measuring: by btl_tcp_if_include or _exclude (interface names or networks), without loopback, IPv4 where
/// there is any.
[[nodiscard]] std::vector<std::string> transport_addresses(
    const std::vector<watch::InterfaceAddress>& addresses, const std::map<std::string, std::string>& mca);

}  // namespace lockstep::campaign
