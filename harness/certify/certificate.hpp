#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "harness/certify/criteria.hpp"
#include "harness/certify/drill_results.hpp"
#include "harness/certify/metrics.hpp"
#include "harness/core/error.hpp"
#include "harness/plan/plan.hpp"
#include "harness/record/evidence.hpp"

namespace lockstep::certify {

constexpr const char* kCertificateSchema = "lockstep-certificate-1";

/// One named remark that is told and not judged.
struct Note {
  std::string name;
  std::string text;
};

/// The verdict and what it rests on: a pure function of the evidence and of the plan stored in it. It holds
/// no time and no place of its own making, so that recomputing it gives the same bytes.
struct Certificate {
  std::string schema = kCertificateSchema;
  std::string lockstep_version;  ///< that made the evidence
  std::string created_utc;       ///< of the evidence
  std::string plan_name;
  std::string plan_sha256;
  std::string evidence_sha256;  ///< of run.h5
  plan::Grade grade = plan::Grade::inconclusive;
  plan::Grade required_grade = plan::Grade::a;
  bool certified = false;
  std::vector<std::string> rehearsal_reasons;  ///< empty: a run on real hardware at real speed
  std::vector<std::string> changed_criteria;   ///< what the plan asks for other than by default
  std::vector<std::string> reasons;            ///< why this grade
  std::vector<std::string> advice;             ///< the least change that would lift it
  std::vector<std::string> gaps;               ///< what the evidence lacks
  std::vector<Criterion> criteria;
  Metrics metrics;
  std::vector<record::IncidentRow> incidents;  ///< see collect_incidents()
  std::vector<DrillResult> drills;             ///< one for each drill of the plan
  std::vector<Note> notes;
  [[nodiscard]] bool is_rehearsal() const { return !rehearsal_reasons.empty(); }
};

/// `evidence_sha256` is that of the run file. Throws InputError when the plan inside the evidence cannot be
/// read.
[[nodiscard]] Certificate make_certificate(const record::Evidence& evidence,
                                           const std::string& evidence_sha256);
/// The same with the stored plan already read.
[[nodiscard]] Certificate make_certificate(const record::Evidence& evidence, const plan::Plan& plan,
                                           const std::string& evidence_sha256);

/// JSON, keys in a fixed order, two spaces, a newline at the end, fractions rounded to 6 significant digits.
/// The same certificate gives the same bytes.
[[nodiscard]] std::string serialize(const Certificate& certificate);

/// 0 certified (grade at or above the required one), 3 not certified, 4 inconclusive.
[[nodiscard]] ExitCode exit_code(const Certificate& certificate);

}  // namespace lockstep::certify
