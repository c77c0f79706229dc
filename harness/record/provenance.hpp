#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "harness/record/evidence.hpp"

/// Where and how it ran, as far as it matters to who reads the figures.
namespace lockstep::record {

/// Facts about the machine, the build and the settings of this process. What cannot be found out is left out;
/// nothing here throws because of the machine. leg -1: the whole run; rank -1: the controller's machine.
[[nodiscard]] std::vector<ProvenanceRow> machine_provenance(std::int32_t leg, std::int32_t rank);

/// One environment variable that may be recorded.
struct Setting {
  std::string name;
  std::string value;
  bool operator==(const Setting&) const = default;
};

/// Those of `environment` (each `NAME=value`) that are known to change how a run behaves, sorted by name.
/// Everything else stays out: environments hold secrets. So does, within what is known, every name with KEY,
/// TOKEN, PASS, SECRET, CRED or AUTH in it, every value that looks like a URL with a user, and what a
/// launcher uses to find its own parts.
[[nodiscard]] std::vector<Setting> recordable_settings(std::span<const std::string> environment);

}  // namespace lockstep::record
