#pragma once

#include <string>
#include <vector>

#include "harness/core/posix.hpp"
#include "harness/lab/spec.hpp"

namespace lockstep::lab {

struct ServerSettings {
  LabSpec spec;
  std::string name;                 ///< of the lab
  std::vector<std::string> shared;  ///< folders below /tmp that hosts shall see
  std::string program;              ///< `lockstep`, for the remote shell
};

/// Brings a lab up in a process of its own, in the background. Returns when it is up. Throws InputError when
/// a lab of that name is up already, and what the process reported when it could not come up.
///
/// `attached`: the lab goes down when the returned descriptor is closed, so also when this process dies.
enum class Lifetime { until_down, attached };
[[nodiscard]] UniqueFd start_lab(const ServerSettings& settings, Lifetime lifetime);

}  // namespace lockstep::lab
