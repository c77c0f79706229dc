#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "harness/plan/plan.hpp"

namespace lockstep::campaign {

/// A host and the ranks that may run on it.
struct HostSlots {
  std::string host;
  std::uint32_t slots = 1;
  bool operator==(const HostSlots&) const = default;
};

/// Reads Open MPI's hostfile format: one host a line, optionally `slots=N` (also `max_slots`, ignored), `#`
/// comments. A host named twice adds up. A line without `slots=` means 0: the caller takes the plan's number.
/// Throws InputError with file and line.
[[nodiscard]] std::vector<HostSlots> read_hostfile(const std::string& path);
[[nodiscard]] std::vector<HostSlots> parse_hostfile(std::string_view text,
                                                    const std::string& name_for_messages);

/// The site of a host, by its name or, where sites are networks, by the addresses that it resolves to.
[[nodiscard]] std::optional<SiteId> site_of_host(const plan::Plan& plan, const std::string& host);

/// Hosts of a leg, site by site in the leg's order. Without a hostfile these are the names that the plan
/// lists, each with the site's slots; with one, its hosts that belong to the leg's sites, by name or by the
/// addresses that they resolve to. Empty for colocated plans. Throws InputError when a site has only networks
/// and no hostfile is given, or when the hostfile has no host of a site.
[[nodiscard]] std::vector<HostSlots> hosts_of_leg(const plan::Plan& plan, const plan::Leg& leg,
                                                  const std::vector<HostSlots>& hostfile);

/// Ranks of the leg: the sum of its hosts' slots, or the declared number of a colocated plan.
[[nodiscard]] std::uint32_t ranks_of_leg(const plan::Plan& plan, const plan::Leg& leg,
                                         const std::vector<HostSlots>& hosts);

/// Ranks of each site of the leg, in its order: what a step graph needs to be built.
[[nodiscard]] std::vector<std::uint32_t> ranks_per_site(const plan::Plan& plan, const plan::Leg& leg,
                                                        const std::vector<HostSlots>& hostfile);

}  // namespace lockstep::campaign
