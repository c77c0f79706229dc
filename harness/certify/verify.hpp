#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "harness/certify/certificate.hpp"

namespace lockstep::certify {

/// One place where a certificate does not say what the evidence gives.
struct Difference {
  std::string path;        ///< JSON pointer, e.g. `/criteria/0/value`; a file's name for a whole file
  std::string stated;      ///< as JSON; `(absent)` when it is not there
  std::string recomputed;  ///< likewise
};

struct Verification {
  std::vector<Difference> differences;  ///< empty: equal to the last byte
  [[nodiscard]] bool equal() const { return differences.empty(); }
};

/// Compares byte for byte; when the bytes differ, says in which values. A text that is no JSON, or that
/// differs in white space or order only, is one difference with an empty path.
[[nodiscard]] Verification verify_certificate(std::string_view certificate_bytes,
                                              const Certificate& recomputed);

struct FolderVerification {
  Certificate recomputed;
  Verification verification;
};

/// Recomputes the certificate from `folder`/run.h5 alone and compares `folder`/certificate.json with it, and
/// `folder`/plan.toml with the plan in the evidence. Throws InputError when a file is missing or cannot be
/// read.
[[nodiscard]] FolderVerification verify_folder(const std::string& folder);

}  // namespace lockstep::certify
