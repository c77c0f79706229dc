#pragma once

#include <string>
#include <vector>

#include "harness/campaign/campaign.hpp"
#include "harness/core/posix.hpp"
#include "harness/lab/spec.hpp"
#include "harness/plan/plan.hpp"

namespace lockstep::app {

/// A lab for one command: it is there while this lives, and gone when this process is, however it ends.
class LabSession {
 public:
  /// Reads the specification and checks that the plan's hosts are in the lab (InputError otherwise) and that
  /// a lab can be made here (else RunError).
  LabSession(const std::string& spec_path, const plan::Plan& plan,
             const std::vector<campaign::HostSlots>& hostfile);

  /// Brings it up so that its hosts see the folder of results and the programs. Throws InputError or
  /// RunError.
  void bring_up(const std::string& results_folder, const campaign::Programs& programs);

  /// How programs are launched in it.
  [[nodiscard]] campaign::LauncherPrefix launcher_prefix() const;
  [[nodiscard]] campaign::Surroundings surroundings() const;
  /// All of it for a campaign, which also clears the hosts after each launch and says in its evidence that it
  /// took place in a lab.
  void let_launch(campaign::Options& options) const;

  /// Makes drills that ranks cannot make themselves: cuts and changes links, switches off or freezes hosts.
  [[nodiscard]] campaign::FaultMaker fault_maker(const plan::Plan& plan) const;

  /// Keeps the lab's specification, its log of changes and its counters beside the results, and takes it
  /// down.
  void take_down(const std::string& results_folder);

 private:
  lab::LabSpec spec_;
  std::string name_;
  UniqueFd owner_;  ///< the lab goes down when this closes
};

}  // namespace lockstep::app
