#pragma once

#include "harness/campaign/results_folder.hpp"
#include "harness/certify/certificate.hpp"

namespace lockstep::app {

/// Judges the evidence in the folder and writes the certificate there: whole, or not at all. Throws
/// InputError and RunError.
[[nodiscard]] certify::Certificate judge(const campaign::ResultsFolder& folder);

}  // namespace lockstep::app
