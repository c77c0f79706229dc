#include "harness/campaign/slurm_sites.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include <fmt/format.h>

#include "harness/core/error.hpp"
#include "harness/core/text.hpp"
#include "harness/plan/sites.hpp"

namespace lockstep::campaign {
namespace {

constexpr std::size_t kHostsInMessage = 8;  // a line that names a thousand hosts names none

std::string list_hosts(std::vector<std::string> names) {
  const std::size_t more = names.size() > kHostsInMessage ? names.size() - kHostsInMessage : 0;
  names.resize(names.size() - more);
  return join(names, ", ") + (more > 0 ? fmt::format(" and {} more", more) : "");
}

/// Throws unless all hosts of a site have the same slots.
std::uint32_t common_slots(const std::string& site, const std::vector<HostSlots>& hosts) {
  for (const HostSlots& host : hosts) {
    if (host.slots != hosts.front().slots)
      throw InputError({.what = fmt::format("the hosts of site \"{}\" have different numbers of tasks", site),
                        .why = fmt::format("Slurm gives {} to {} and {} to {}", hosts.front().slots,
                                           hosts.front().host, host.slots, host.host),
                        .suggestion = "ask for the same on each with --ntasks-per-node",
                        .file = {}});
  }
  return hosts.front().slots;
}

[[noreturn]] void refuse_topology(std::string what, std::string why) {
  throw InputError({.what = std::move(what),
                    .why = std::move(why),
                    .suggestion = "name the sites in the plan: a [[site]] each, with its hosts",
                    .file = {}});
}

/// The network as far as it matters to a job.
class Network {
 public:
  Network(const std::vector<Switch>& switches, const std::vector<HostSlots>& hosts) {
    std::set<std::string> wanted;
    for (const HostSlots& host : hosts)
      wanted.insert(host.host);
    for (const Switch& one : switches) {
      Switch with_job{one.name, {}, one.switches};
      for (const std::string& host : one.hosts) {
        if (wanted.contains(host))
          with_job.hosts.push_back(host);
      }
      if (!with_job.hosts.empty())
        switches_.emplace(one.name, std::move(with_job));
    }
  }

  /// The first level from the top that has several switches; empty when there is none.
  [[nodiscard]] std::vector<const Switch*> level_of_sites() const {
    std::vector<const Switch*> level = top();
    // A network of n switches is at most n levels deep; a circle would be deeper.
    for (std::size_t depth = 0; level.size() == 1 && depth <= switches_.size(); ++depth)
      level = below(*level.front());
    return level.size() > 1 ? level : std::vector<const Switch*>{};
  }

 private:
  [[nodiscard]] std::vector<const Switch*> top() const {
    std::set<std::string> lower;
    for (const auto& [name, one] : switches_)
      lower.insert(one.switches.begin(), one.switches.end());
    std::vector<const Switch*> level;
    for (const auto& [name, one] : switches_) {
      if (!lower.contains(name))
        level.push_back(&one);
    }
    return level;
  }

  [[nodiscard]] std::vector<const Switch*> below(const Switch& upper) const {
    std::vector<const Switch*> level;
    for (const std::string& name : upper.switches) {
      if (const auto found = switches_.find(name); found != switches_.end())
        level.push_back(&found->second);
    }
    return level;
  }

  std::map<std::string, Switch> switches_;
};

std::string as_site_name(const std::string& name) {
  std::string usable;
  for (const char c : name) {
    const bool plain =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
    usable += plain ? c : '-';
  }
  if (usable.empty() || usable.front() == '-' || usable.front() == '_')
    usable.insert(0, "site");
  return usable;
}

/// Whether the plan says just these hosts and slots, in whatever order.
bool is_declared(const plan::Site& site, const std::vector<HostSlots>& hosts) {
  std::set<std::string> declared;
  for (const std::string& pattern : site.hosts) {
    if (plan::is_network(pattern))
      return false;
    for (std::string& name : plan::expand_hosts(pattern))
      declared.insert(std::move(name));
  }
  return site.slots == hosts.front().slots && declared.size() == hosts.size() &&
         std::all_of(hosts.begin(), hosts.end(),
                     [&declared](const HostSlots& host) { return declared.contains(host.host); });
}

std::string toml_array(const std::vector<HostSlots>& hosts) {
  std::vector<std::string> quoted;
  quoted.reserve(hosts.size());
  for (const HostSlots& host : hosts)
    quoted.push_back('"' + host.host + '"');
  return "[" + join(quoted, ", ") + "]";
}

}  // namespace

std::vector<plan::Site> sites_of_topology(const std::vector<Switch>& switches,
                                          const std::vector<HostSlots>& hosts) {
  if (switches.empty())
    refuse_topology("the plan has no site, and Slurm knows no network to find them by",
                    "`scontrol show topology` shows no switch");
  const Network network(switches, hosts);
  const std::vector<const Switch*> level = network.level_of_sites();
  if (level.empty())
    refuse_topology("the plan has no site, and Slurm's network does not part this job's hosts",
                    "all of them are below one lowest switch");
  std::vector<plan::Site> sites;
  std::map<const Switch*, std::vector<HostSlots>> hosts_of;
  std::vector<const Switch*> order;
  std::vector<std::string> homeless;
  for (const HostSlots& host : hosts) {
    std::vector<const Switch*> above;
    std::copy_if(level.begin(), level.end(), std::back_inserter(above), [&host](const Switch* one) {
      return std::find(one->hosts.begin(), one->hosts.end(), host.host) != one->hosts.end();
    });
    if (above.size() > 1)
      refuse_topology(
          fmt::format("host {} is below two switches: {} and {}", host.host, above[0]->name, above[1]->name),
          "its site cannot be told");
    if (above.empty()) {
      homeless.push_back(host.host);
      continue;
    }
    if (hosts_of[above.front()].empty())
      order.push_back(above.front());
    hosts_of[above.front()].push_back(host);
  }
  if (!homeless.empty())
    refuse_topology(fmt::format("Slurm's network leaves out {} of this job", list_hosts(homeless)),
                    fmt::format("switches such as {} hold the others", level.front()->name));
  for (const Switch* one : order) {
    plan::Site site;
    site.name = as_site_name(one->name);
    site.slots = common_slots(site.name, hosts_of[one]);
    for (const HostSlots& host : hosts_of[one])
      site.hosts.push_back(host.host);
    sites.push_back(std::move(site));
  }
  return sites;
}

std::vector<std::string> overrides_for_hosts(const plan::Plan& plan, const std::vector<HostSlots>& hosts) {
  std::vector<std::vector<HostSlots>> of_site(plan.sites.size());
  std::vector<std::string> homeless;
  for (const HostSlots& host : hosts) {
    if (const auto site = site_of_host(plan, host.host))
      of_site[site->value()].push_back(host);
    else
      homeless.push_back(host.host);
  }
  if (!homeless.empty())
    throw InputError({.what = fmt::format("this job has hosts that belong to no site of the plan: {}",
                                          list_hosts(std::move(homeless))),
                      .why = "every host of the job takes part",
                      .suggestion = "add them to a site's hosts, or ask for other hosts with --nodelist",
                      .file = plan.path});
  std::vector<std::string> overrides;
  for (std::size_t i = 0; i < of_site.size(); ++i) {
    const plan::Site& site = plan.sites[i];
    if (of_site[i].empty())
      throw InputError({.what = fmt::format("this job has no host of site \"{}\"", site.name),
                        .why = "a verdict needs every site of the plan",
                        .suggestion = "ask for some of its hosts with --nodelist, or remove the site",
                        .file = plan.path});
    const std::uint32_t slots = common_slots(site.name, of_site[i]);
    if (is_declared(site, of_site[i]))
      continue;
    overrides.push_back(fmt::format("site.{}.hosts={}", site.name, toml_array(of_site[i])));
    overrides.push_back(fmt::format("site.{}.slots={}", site.name, slots));
  }
  return overrides;
}

}  // namespace lockstep::campaign
