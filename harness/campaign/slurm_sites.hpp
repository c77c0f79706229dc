#pragma once

#include <string>
#include <vector>

#include "harness/campaign/hosts.hpp"
#include "harness/campaign/slurm_text.hpp"
#include "harness/plan/plan.hpp"

/// From the hosts of a Slurm job to the sites of a plan.
namespace lockstep::campaign {

/// The sites that a network of switches shows in `hosts`. The rule: look only at switches with hosts of the
/// job below them, begin at the top, and go down while there is only one; the first level with several
/// switches is the level of sites. So the switch that joins the campuses is passed by, whatever the depth of
/// the network, and the racks inside a campus are never taken for sites. Sites are named after their switch
/// (characters that a name cannot have become '-'), in the order of the hosts.
///
/// Throws InputError when the network does not part the hosts, leaves some out, or holds one in two of the
/// switches; and when the hosts of a site differ in slots.
[[nodiscard]] std::vector<plan::Site> sites_of_topology(const std::vector<Switch>& switches,
                                                        const std::vector<HostSlots>& hosts);

/// The overrides (`site.A.hosts=[...]`, `site.A.slots=4`) that narrow the sites of `plan`, which finds them
/// by host, to the hosts and slots of the job: the plan that is kept as evidence then says what ran. A site
/// that the plan declares just so needs none. Throws InputError when a host belongs to no site, when a site
/// has no host, and when the hosts of a site differ in slots: a plan has one number of ranks for each host of
/// a site.
[[nodiscard]] std::vector<std::string> overrides_for_hosts(const plan::Plan& plan,
                                                           const std::vector<HostSlots>& hosts);

}  // namespace lockstep::campaign
