#include "harness/plan/sites.hpp"

#include <algorithm>

#include "harness/core/error.hpp"
#include "harness/plan/hosts.hpp"

namespace lockstep::plan {
namespace {

/// The entry of the site that names this host, or nullptr.
const HostEntry* matching_entry(const std::vector<HostEntry>& entries, std::string_view name,
                                const std::vector<Network>& addresses) {
  for (const HostEntry& entry : entries) {
    if (entry.network) {
      const auto inside = [&](const Network& address) { return contains(*entry.network, address); };
      if (std::any_of(addresses.begin(), addresses.end(), inside))
        return &entry;
    } else if (may_be_same_host(entry.text, name)) {
      return &entry;
    }
  }
  return nullptr;
}

}  // namespace

std::optional<SiteId> find_site(const Plan& plan, const HostIdentity& host) {
  const std::string name = lower_case(host.name);
  std::vector<Network> addresses;
  for (const std::string& text : host.addresses) {
    if (const std::optional<Network> address = parse_address(text))
      addresses.push_back(*address);
  }
  std::optional<SiteId> found;
  std::string found_by;
  for (std::uint32_t i = 0; i < plan.sites.size(); ++i) {
    const std::vector<HostEntry> entries = parse_hosts(plan.sites[i].hosts);
    const std::vector<HostEntry> spares = parse_hosts(plan.sites[i].spares);
    const HostEntry* entry = matching_entry(entries, name, addresses);
    if (entry == nullptr)
      entry = matching_entry(spares, name, addresses);
    if (entry == nullptr)
      continue;
    if (found)
      throw InputError({.what = "host '" + host.name + "' belongs to two sites",
                        .why = "site '" + plan.sites[found->value()].name + "' claims it by '" + found_by +
                               "', site '" + plan.sites[i].name + "' by '" + entry->text + "'",
                        .suggestion = "name it in one site only, or set LOCKSTEP_SITE on that host",
                        .file = plan.path});
    found = SiteId(i);
    found_by = entry->text;
  }
  return found;
}

}  // namespace lockstep::plan
