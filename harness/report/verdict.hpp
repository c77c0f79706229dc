#pragma once

#include <string>

#include "harness/certify/certificate.hpp"
#include "harness/certify/verify.hpp"
#include "harness/report/style.hpp"

namespace lockstep::report {

/// The verdict as a person reads it in ten seconds: the grade and what it means, whether that certifies, why
/// it may be a rehearsal only, the criteria with value, interval, threshold and status, step times by leg,
/// and where the files are. `folder` is told and not looked into.
[[nodiscard]] std::string verdict_text(const certify::Certificate& certificate, const std::string& folder,
                                       const Style& style);

/// What `verify` found, in words: equal, or each place that differs.
[[nodiscard]] std::string verification_text(const certify::FolderVerification& found,
                                            const std::string& folder, const Style& style);
/// The same as one JSON document.
[[nodiscard]] std::string verification_json(const certify::FolderVerification& found,
                                            const std::string& folder);

}  // namespace lockstep::report
