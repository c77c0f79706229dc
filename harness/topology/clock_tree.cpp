#include "harness/topology/clock_tree.hpp"

#include <cmath>
#include <cstdlib>
#include <map>

#include "harness/core/error.hpp"

namespace lockstep::topology {

ClockTree build_clock_tree(std::span<const SiteId> sites, std::span<const std::string> clock_domains) {
  LOCKSTEP_EXPECT(sites.size() == clock_domains.size(), "one site and one clock for each rank");
  std::map<std::string, RankId> first_of_domain;
  std::map<std::uint32_t, RankId> first_of_site;
  ClockTree tree;
  for (std::uint32_t i = 0; i < sites.size(); ++i) {
    const RankId self(i);
    const auto [domain, is_first_of_domain] = first_of_domain.try_emplace(clock_domains[i], self);
    if (!is_first_of_domain) {
      tree.push_back({domain->second, ClockLink::shared});
      continue;
    }
    const auto [site, is_first_of_site] = first_of_site.try_emplace(sites[i].value(), self);
    if (!is_first_of_site)
      tree.push_back({site->second, ClockLink::measured});
    else
      tree.push_back({RankId(0), i == 0 ? ClockLink::root : ClockLink::measured});
  }
  return tree;
}

ClockEstimate estimate_offset(const ClockExchange& exchange) {
  const std::int64_t half = exchange.round_trip_ns() / 2;
  const std::int64_t middle = exchange.sent_ns + half;
  // One more for the halves of an odd round trip.
  return {middle, exchange.remote_ns - middle, half + 1};
}

ClockEstimate compose(const ClockEstimate& to_parent, const ClockEstimate& parent, double drift_ppm) {
  const std::int64_t on_parents_clock = to_parent.local_ns + to_parent.offset_ns;
  const auto apart_ns = static_cast<double>(std::llabs(on_parents_clock - parent.local_ns));
  const auto drift_ns = static_cast<std::int64_t>(std::ceil(apart_ns * drift_ppm * 1e-6));
  return {to_parent.local_ns, to_parent.offset_ns + parent.offset_ns,
          to_parent.bound_ns + parent.bound_ns + drift_ns};
}

}  // namespace lockstep::topology
