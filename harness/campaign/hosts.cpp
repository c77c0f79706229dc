#include "harness/campaign/hosts.hpp"

#include <algorithm>
#include <charconv>
#include <memory>
#include <optional>
#include <sstream>

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "harness/core/error.hpp"
#include "harness/core/posix.hpp"
#include "harness/core/text.hpp"
#include "harness/plan/sites.hpp"

namespace lockstep::campaign {
namespace {

std::optional<std::uint32_t> parse_count(std::string_view text) {
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value == 0)
    return std::nullopt;
  return value;
}

/// Numeric addresses of a host name; empty when it does not resolve.
std::vector<std::string> addresses_of(const std::string& host) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (::getaddrinfo(host.c_str(), nullptr, &hints, &found) != 0)
    return {};
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(found, &::freeaddrinfo);
  std::vector<std::string> addresses;
  for (const addrinfo* at = found; at != nullptr; at = at->ai_next) {
    char text[INET6_ADDRSTRLEN] = {};
    const void* address = nullptr;
    if (at->ai_family == AF_INET)
      address = &reinterpret_cast<const sockaddr_in*>(at->ai_addr)->sin_addr;
    else if (at->ai_family == AF_INET6)
      address = &reinterpret_cast<const sockaddr_in6*>(at->ai_addr)->sin6_addr;
    if (address != nullptr && ::inet_ntop(at->ai_family, address, text, sizeof text) != nullptr)
      addresses.emplace_back(text);
  }
  return addresses;
}

bool has_networks(const plan::Plan& plan) {
  return std::any_of(plan.sites.begin(), plan.sites.end(), [](const plan::Site& site) {
    return std::any_of(site.hosts.begin(), site.hosts.end(),
                       [](const std::string& host) { return plan::is_network(host); });
  });
}

std::vector<HostSlots> declared_hosts(const plan::Plan& plan, SiteId id) {
  const plan::Site& site = plan.sites[id.value()];
  std::vector<HostSlots> hosts;
  for (const std::string& pattern : site.hosts) {
    if (plan::is_network(pattern)) {
      throw InputError(
          {.what = fmt::format("site \"{}\" names the network {} and not its hosts", site.name, pattern),
           .why = "the launcher needs host names",
           .suggestion = "list the hosts with --hostfile FILE",
           .file = plan.path});
    }
    for (std::string& name : plan::expand_hosts(pattern))
      hosts.push_back({std::move(name), site.slots});
  }
  return hosts;
}

std::vector<HostSlots> hosts_from_file(const plan::Plan& plan, SiteId id,
                                       const std::vector<HostSlots>& hostfile) {
  std::vector<HostSlots> hosts;
  for (const HostSlots& entry : hostfile) {
    if (site_of_host(plan, entry.host) == id)
      hosts.push_back({entry.host, entry.slots > 0 ? entry.slots : plan.sites[id.value()].slots});
  }
  if (hosts.empty()) {
    throw InputError(
        {.what = fmt::format("the hostfile has no host of site \"{}\"", plan.sites[id.value()].name),
         .why = "none of its names or addresses matches the site's hosts",
         .suggestion = "add the site's hosts to the hostfile, or correct the site's hosts in the plan",
         .file = plan.path});
  }
  return hosts;
}

std::vector<HostSlots> hosts_of_site(const plan::Plan& plan, SiteId id,
                                     const std::vector<HostSlots>& hostfile) {
  if (plan.placement == plan::Placement::colocated)
    return {};
  return hostfile.empty() ? declared_hosts(plan, id) : hosts_from_file(plan, id, hostfile);
}

std::uint32_t sum_slots(const std::vector<HostSlots>& hosts) {
  std::uint32_t slots = 0;
  for (const HostSlots& host : hosts)
    slots += host.slots;
  return slots;
}

}  // namespace

std::vector<HostSlots> parse_hostfile(std::string_view text, const std::string& name_for_messages) {
  std::vector<HostSlots> hosts;
  int line_number = 0;
  for (const std::string& line : split(text, '\n')) {
    ++line_number;
    std::istringstream words{line.substr(0, line.find('#'))};
    std::string host;
    if (!(words >> host))
      continue;
    std::uint32_t slots = 0;
    for (std::string word; words >> word;) {
      const std::size_t equals = word.find('=');
      const std::string key = word.substr(0, equals);
      const auto value = equals == std::string::npos ? std::nullopt : parse_count(word.substr(equals + 1));
      if ((key != "slots" && key != "max_slots" && key != "max-slots") || !value) {
        throw InputError({.what = fmt::format("cannot understand \"{}\"", word),
                          .why = "after a host name only slots=N is known, N at least 1",
                          .suggestion = "write lines such as \"node01 slots=8\"",
                          .file = name_for_messages,
                          .line = line_number});
      }
      if (key == "slots")
        slots = *value;
    }
    const auto known =
        std::find_if(hosts.begin(), hosts.end(), [&](const HostSlots& h) { return h.host == host; });
    if (known == hosts.end())
      hosts.push_back({host, slots});
    else
      known->slots += slots;
  }
  if (hosts.empty()) {
    throw InputError({.what = "the hostfile names no host",
                      .why = "every line is empty or a comment",
                      .suggestion = "write lines such as \"node01 slots=8\"",
                      .file = name_for_messages});
  }
  return hosts;
}

std::vector<HostSlots> read_hostfile(const std::string& path) {
  return parse_hostfile(read_text_file(path), path);
}

std::optional<SiteId> site_of_host(const plan::Plan& plan, const std::string& host) {
  plan::HostIdentity identity{host, {}};
  if (has_networks(plan))
    identity.addresses = addresses_of(host);
  return plan::find_site(plan, identity);
}

std::vector<HostSlots> hosts_of_leg(const plan::Plan& plan, const plan::Leg& leg,
                                    const std::vector<HostSlots>& hostfile) {
  std::vector<HostSlots> hosts;
  for (const SiteId site : leg.sites) {
    for (HostSlots& host : hosts_of_site(plan, site, hostfile))
      hosts.push_back(std::move(host));
  }
  return hosts;
}

std::uint32_t ranks_of_leg(const plan::Plan& plan, const plan::Leg& leg,
                           const std::vector<HostSlots>& hosts) {
  if (plan.placement == plan::Placement::by_host)
    return sum_slots(hosts);
  const auto declared = plan::declared_ranks(plan, leg);
  LOCKSTEP_EXPECT(declared.has_value(), "a colocated plan declares its ranks");
  return *declared;
}

std::vector<std::uint32_t> ranks_per_site(const plan::Plan& plan, const plan::Leg& leg,
                                          const std::vector<HostSlots>& hostfile) {
  std::vector<std::uint32_t> ranks;
  ranks.reserve(leg.sites.size());
  for (const SiteId site : leg.sites) {
    if (plan.placement == plan::Placement::colocated)
      ranks.push_back(plan.sites[site.value()].slots);
    else
      ranks.push_back(sum_slots(hosts_of_site(plan, site, hostfile)));
  }
  return ranks;
}

}  // namespace lockstep::campaign
