#pragma once

#include <string>
#include <vector>

#include "harness/campaign/finding.hpp"
#include "harness/campaign/launcher.hpp"
#include "harness/campaign/survey_data.hpp"

namespace lockstep::campaign {

/// What this one machine has for running Lockstep.
struct LocalMachine {
  HostFacts facts;
  Programs programs;             ///< empty where there is none
  std::string launcher_problem;  ///< why there is no launcher; else empty
  std::string rank_problem;      ///< why there is no rank program; else empty
  std::string lab_problem;  ///< why campuses cannot be emulated here; else empty. Whoever knows labs sets it
  std::vector<std::string> gpus;  ///< as the NVIDIA driver names them
};

/// Looks at this machine. Throws InputError when a program was chosen that does not exist.
[[nodiscard]] LocalMachine look_at_this_machine(const ProgramChoice& choice);

/// What is in the way of running Lockstep here. A pure function.
[[nodiscard]] std::vector<Finding> local_findings(const LocalMachine& machine);

}  // namespace lockstep::campaign
