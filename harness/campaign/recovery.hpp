#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "harness/campaign/hosts.hpp"
#include "harness/plan/plan.hpp"

namespace lockstep::campaign {

/// What follows a failed attempt.
struct RestartDecision {
  bool restarts = false;
  double wait_s = 0.0;  ///< before the next attempt
  std::string detail;   ///< one line: what is changed, or why there is no further attempt
};

/// Decides, by the plan's restart policy, whether a launch of a leg is tried again and on which hosts. One
/// object serves one launch with all its attempts. Pure: nothing is started here, and nothing waits.
class Recovery {
 public:
  /// `hosts`: of the first attempt; empty for colocated plans.
  Recovery(const plan::Plan& plan, const plan::Leg& leg, std::vector<HostSlots> hosts);

  /// After an attempt that failed on `named_hosts` (empty: which is not known).
  [[nodiscard]] RestartDecision after_failure(const std::set<std::string>& named_hosts);
  /// Of the next attempt, site by site.
  [[nodiscard]] const std::vector<HostSlots>& hosts() const { return hosts_; }
  /// Of the leg's sites, once hosts were excluded; empty before.
  [[nodiscard]] std::vector<std::uint32_t> ranks_per_site() const;
  [[nodiscard]] std::uint32_t restarts() const { return restarts_; }

 private:
  /// Both return why it is not possible, or an empty text.
  std::string exclude(const std::set<std::string>& failed_hosts, std::string& detail);
  std::string replace(const std::set<std::string>& failed_hosts, std::string& detail);
  /// Those of hosts_ that are meant: a host may be called by its short or by its full name.
  [[nodiscard]] std::set<std::string> own_names(const std::set<std::string>& failed_hosts) const;
  [[nodiscard]] std::string why_too_few(const std::vector<HostSlots>& hosts) const;
  [[nodiscard]] std::uint32_t ranks_of(SiteId site, const std::vector<HostSlots>& hosts) const;
  [[nodiscard]] SiteId site_of(const std::string& host) const;

  const plan::Plan& plan_;
  const plan::Leg& leg_;
  std::vector<HostSlots> hosts_;
  std::set<std::string> used_spares_;
  std::uint32_t restarts_ = 0;
  bool excluded_ = false;
};

}  // namespace lockstep::campaign
