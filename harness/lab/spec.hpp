#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "harness/lab/link_model.hpp"

namespace lockstep::lab {

/// A campus of a lab: its hosts share a bridge without limits.
struct LabSite {
  std::string name;
  std::vector<std::string> hosts;             ///< expanded
  std::uint32_t mtu = 1500;                   ///< bytes, of its hosts' interfaces
  std::map<std::string, std::string> sysctl;  ///< in each host's network namespace, e.g. net.ipv4.tcp_rmem
};

/// What `configs/lab/*.toml` says.
struct LabSpec {
  std::string name;
  std::string path;  ///< where it was read, for messages
  std::string text;
  std::string description;  ///< the real situation that it stands for
  std::uint64_t seed = 1;   ///< of loss, jitter and all else that is drawn
  std::vector<LabSite> sites;
  std::vector<std::vector<LinkSettings>> links;  ///< by [from][to]; the diagonal is unused

  [[nodiscard]] std::size_t find_site(std::string_view site) const;  ///< sites.size() when there is none
  [[nodiscard]] std::size_t site_of_host(std::string_view host) const;
  [[nodiscard]] bool has_host(std::string_view host) const { return site_of_host(host) < sites.size(); }
};

constexpr std::size_t kMostSites = 16;
constexpr std::size_t kMostHostsOfSite = 200;

/// Reads and checks. Throws InputError with file and line: unknown keys with the nearest valid one, wrong
/// types, a host in two sites, links between unknown sites, settings that check() refuses.
[[nodiscard]] LabSpec load_spec(const std::string& path);
[[nodiscard]] LabSpec parse_spec(std::string_view text, const std::string& name_for_messages);

/// Address of a host as the lab assigns it: 10.(site + 1).0.(index + 1).
[[nodiscard]] std::string address_of(std::size_t site, std::size_t host);
/// The address by which the site's hosts leave it.
[[nodiscard]] std::string gateway_of(std::size_t site);

}  // namespace lockstep::lab
