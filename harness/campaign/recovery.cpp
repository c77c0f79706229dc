#include "harness/campaign/recovery.hpp"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "harness/core/error.hpp"
#include "harness/core/text.hpp"
#include "harness/plan/hosts.hpp"
#include "harness/plan/sites.hpp"

namespace lockstep::campaign {
namespace {

/// Doubling alone comes to days.
constexpr double kLongestBackoffS = 3600.0;

RestartDecision no_restart(std::string why) {
  return {.restarts = false, .wait_s = 0.0, .detail = std::move(why)};
}

std::string list_of(const std::set<std::string>& names) {
  return join(std::vector<std::string>(names.begin(), names.end()), ", ");
}

}  // namespace

Recovery::Recovery(const plan::Plan& plan, const plan::Leg& leg, std::vector<HostSlots> hosts)
    : plan_(plan), leg_(leg), hosts_(std::move(hosts)) {}

RestartDecision Recovery::after_failure(const std::set<std::string>& named_hosts) {
  const plan::Recovery& rules = plan_.recovery;
  const std::set<std::string> failed_hosts = own_names(named_hosts);
  if (rules.policy == plan::RestartPolicy::stop)
    return no_restart("recovery.policy is \"stop\"");
  if (restarts_ >= rules.max_restarts)
    return no_restart(fmt::format("{} restart{} made, and recovery.max_restarts is {}", restarts_,
                                  restarts_ == 1 ? " was" : "s were", rules.max_restarts));
  std::string detail = "on the same hosts";
  std::string obstacle;
  if (rules.policy != plan::RestartPolicy::same && failed_hosts.empty())
    detail = "on the same hosts: which of them failed is not known";
  else if (rules.policy == plan::RestartPolicy::exclude)
    obstacle = exclude(failed_hosts, detail);
  else if (rules.policy == plan::RestartPolicy::spare)
    obstacle = replace(failed_hosts, detail);
  if (!obstacle.empty())
    return no_restart(std::move(obstacle));
  const double wait_s = std::min(kLongestBackoffS, rules.backoff_s * std::exp2(restarts_));
  ++restarts_;
  return {.restarts = true, .wait_s = wait_s, .detail = std::move(detail)};
}

std::set<std::string> Recovery::own_names(const std::set<std::string>& failed_hosts) const {
  std::set<std::string> own;
  for (const HostSlots& host : hosts_) {
    for (const std::string& name : failed_hosts) {
      if (host.host == name || plan::may_be_same_host(plan::lower_case(host.host), plan::lower_case(name)))
        own.insert(host.host);
    }
  }
  return own;
}

std::string Recovery::exclude(const std::set<std::string>& failed_hosts, std::string& detail) {
  std::vector<HostSlots> left;
  std::set<std::string> gone;
  for (const HostSlots& host : hosts_) {
    if (failed_hosts.contains(host.host))
      gone.insert(host.host);
    else
      left.push_back(host);
  }
  if (std::string why = why_too_few(left); !why.empty())
    return fmt::format("without {} {}", list_of(gone), why);
  hosts_ = std::move(left);
  excluded_ = true;
  detail = "without " + list_of(gone);
  return {};
}

std::string Recovery::replace(const std::set<std::string>& failed_hosts, std::string& detail) {
  std::vector<HostSlots> next;
  std::vector<std::string> changes;
  std::set<std::string> taken;
  for (const HostSlots& host : hosts_) {
    if (!failed_hosts.contains(host.host)) {
      next.push_back(host);
      continue;
    }
    const plan::Site& site = plan_.sites[site_of(host.host).value()];
    std::optional<std::string> spare;
    for (const std::string& pattern : site.spares) {
      for (const std::string& name : plan::expand_hosts(pattern)) {
        if (!spare && !used_spares_.contains(name) && !taken.contains(name))
          spare = name;
      }
    }
    if (!spare)
      return fmt::format("site {} has no spare left for {}", site.name, host.host);
    taken.insert(*spare);
    next.push_back({*spare, host.slots});
    changes.push_back(fmt::format("{} in the place of {}", *spare, host.host));
  }
  used_spares_.insert(taken.begin(), taken.end());
  hosts_ = std::move(next);
  detail = changes.empty() ? "on the same hosts" : "with " + join(changes, ", ");
  return {};
}

std::vector<std::uint32_t> Recovery::ranks_per_site() const {
  std::vector<std::uint32_t> ranks;
  if (excluded_) {
    for (const SiteId id : leg_.sites)
      ranks.push_back(ranks_of(id, hosts_));
  }
  return ranks;
}

std::uint32_t Recovery::ranks_of(SiteId site, const std::vector<HostSlots>& hosts) const {
  std::uint32_t ranks = 0;
  for (const HostSlots& host : hosts)
    ranks += site_of(host.host) == site ? host.slots : 0;
  return ranks;
}

std::string Recovery::why_too_few(const std::vector<HostSlots>& hosts) const {
  for (const SiteId id : leg_.sites) {
    const std::uint32_t ranks = ranks_of(id, hosts);
    const std::string& name = plan_.sites[id.value()].name;
    if (ranks == 0)
      return fmt::format("site {} has no host left", name);
    const std::uint32_t width = plan_.workload.tensor_parallel;
    if (ranks % width != 0)
      return fmt::format("the {} ranks left in site {} do not divide into tensor-parallel groups of {}",
                         ranks, name, width);
  }
  return {};
}

SiteId Recovery::site_of(const std::string& host) const {
  const auto site = site_of_host(plan_, host);
  LOCKSTEP_EXPECT(site.has_value(), "a host that was launched on belongs to a site");
  return *site;
}

}  // namespace lockstep::campaign
