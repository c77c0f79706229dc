#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "harness/plan/plan.hpp"

namespace lockstep::plan {

/// Expands `gpu-a[001-003,7]` to its names; a plain name gives itself. Throws InputError on a malformed
/// pattern.
[[nodiscard]] std::vector<std::string> expand_hosts(std::string_view pattern);

/// True for CIDR notation (`10.1.0.0/16`, `fd00::/8`).
[[nodiscard]] bool is_network(std::string_view host);

/// What is known of a host when its site is looked up.
struct HostIdentity {
  std::string name;                    ///< as gethostname gives it; short and full forms both match
  std::vector<std::string> addresses;  ///< numeric IPv4/IPv6 addresses of its interfaces
};

/// The site that names this host, by exact name, pattern or network. nullopt when none does.
/// Throws InputError when two sites claim it.
[[nodiscard]] std::optional<SiteId> find_site(const Plan& plan, const HostIdentity& host);

}  // namespace lockstep::plan
