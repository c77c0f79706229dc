#pragma once

#include <string>
#include <vector>

#include "harness/campaign/campaign.hpp"
#include "harness/campaign/results_folder.hpp"
#include "harness/core/posix.hpp"
#include "harness/lab/spec.hpp"
#include "harness/plan/plan.hpp"

namespace lockstep::app {

/// A lab for one certification: it is there while this lives, and gone when this process is, however it ends.
class LabSession {
 public:
  /// Reads the specification and checks that the plan's hosts are in the lab. Throws InputError.
  LabSession(const std::string& spec_path, const plan::Plan& plan,
             const std::vector<campaign::HostSlots>& hostfile);

  /// Brings it up so that its hosts see `folder` and the programs, and lets `options` launch into it. Throws
  /// InputError or RunError.
  void bring_up(campaign::Options& options, const campaign::ResultsFolder& folder);

  /// Keeps the lab's specification, its log of changes and its counters beside the evidence, and takes it
  /// down.
  void take_down(const campaign::ResultsFolder& folder);

 private:
  lab::LabSpec spec_;
  std::string name_;
  UniqueFd owner_;  ///< the lab goes down when this closes
};

}  // namespace lockstep::app
