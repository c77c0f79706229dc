#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "harness/campaign/hosts.hpp"
#include "harness/campaign/launcher.hpp"
#include "harness/campaign/results_folder.hpp"
#include "harness/campaign/stop_signals.hpp"
#include "harness/campaign/survey_data.hpp"
#include "harness/campaign/survey_messages.hpp"
#include "harness/plan/plan.hpp"

namespace lockstep::campaign {

/// How a survey is made.
struct SurveyOptions {
  Programs programs;
  std::string probe_program;  ///< this program: its subcommand `probe` runs on every host
  /// Asked for each host alone: its launcher then runs on it, so that in a lab a link that is down keeps no
  /// probe from starting.
  LauncherPrefix launcher_prefix;
  Surroundings surroundings = this_machine();
  std::vector<HostSlots> hostfile;
  double seconds = 1.0;       ///< of each stream of bandwidth
  bool inside_sites = false;  ///< bandwidth inside sites too
};

/// The command that starts the probe of one host.
///
/// Each host has a launcher of its own. One mpirun for all would start no probe at all when one host cannot
/// be reached, and could hang where its daemons cannot reach each other: just what is to be found.
[[nodiscard]] Command probe_command(const plan::Plan& plan, const HostSlots& host, std::uint32_t index,
                                    const std::string& folder, const SurveyOptions& options);

/// Hosts of all sites of the plan, site by site. Throws InputError as hosts_of_leg does.
[[nodiscard]] std::vector<SurveyedHost> hosts_of_plan(const plan::Plan& plan,
                                                      const std::vector<HostSlots>& hostfile);

/// What a survey of a colocated plan comes to: all its sites are on the machine with these facts.
[[nodiscard]] Survey survey_of_one_machine(const plan::Plan& plan, const HostFacts& facts);

/// Makes what a survey of so many hosts needs in a folder that all of them see. Throws RunError.
[[nodiscard]] SurveyFiles make_survey_files(const ResultsFolder& folder, std::size_t hosts);

/// What goes on, in a few words: a survey takes a while.
using SurveyNews = std::function<void(const std::string&)>;

/// Starts a probe on every host of a plan placed by host, lets them measure the paths between them, and ends
/// them. A host that does not answer within the plan's launch deadline is in the result as such.
///
/// First all pairs, in rounds of disjoint pairs and one direction after the other: reachability, round trips,
/// clock offset, loss and MTU. Then, with the network quiet, bandwidth between one host pair of each pair of
/// sites: one stream, then four, in each direction.
///
/// Throws RunError when files cannot be written or a stop signal comes; no probe is left then.
[[nodiscard]] Survey run_survey(const plan::Plan& plan, const SurveyOptions& options,
                                const SurveyFiles& files, StopSignals& stop, const SurveyNews& news);

}  // namespace lockstep::campaign
