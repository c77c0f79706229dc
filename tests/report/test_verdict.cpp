#include <cstdlib>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "harness/certify/certificate.hpp"
#include "harness/core/posix.hpp"
#include "harness/report/verdict.hpp"
#include "tests/app/synthetic_run.hpp"

namespace lockstep::report {
namespace {

using testing::HasSubstr;
using testing::Not;

certify::Certificate certificate_of(const app::SyntheticRun& run) {
  return certify::make_certificate(app::synthetic_evidence(run), std::string(64, '0'));
}

/// Compares with a file in golden/, or rewrites it when LOCKSTEP_REGENERATE_GOLDEN is set (see
/// regenerate-golden).
void expect_golden(const std::string& name, const std::string& text) {
  const std::string path = std::string(LOCKSTEP_GOLDEN_FOLDER) + "/" + name;
  if (std::getenv("LOCKSTEP_REGENERATE_GOLDEN") != nullptr) {
    std::ofstream(path) << text;
    return;
  }
  EXPECT_EQ(read_text_file(path), text) << "build regenerate-golden if this is meant";
}

TEST(Verdict, OfAGoodRun) {
  expect_golden("verdict-good.txt", verdict_text(certificate_of({}), "results/run", {}));
}

TEST(Verdict, OfASlowRun) {
  expect_golden("verdict-slow.txt",
                verdict_text(certificate_of({.joint_step_us = 14'000}), "results/run", {}));
}

TEST(Verdict, OfWrongData) {
  expect_golden("verdict-wrong-data.txt",
                verdict_text(certificate_of({.with_stall_and_failure = true}), "results/run", {}));
}

TEST(Verdict, OfEvidenceThatLacksALeg) {
  record::Evidence evidence = app::synthetic_evidence();
  evidence.leg_ends.pop_back();
  expect_golden("verdict-inconclusive.txt",
                verdict_text(certify::make_certificate(evidence, std::string(64, '0')), "results/run", {}));
}

TEST(Verdict, ARehearsalIsNeverCalledCertified) {
  certify::Certificate certificate = certificate_of({});
  ASSERT_TRUE(certificate.certified);
  ASSERT_TRUE(certificate.is_rehearsal());
  const std::string rehearsal = verdict_text(certificate, "f", {});
  EXPECT_THAT(rehearsal, HasSubstr("PASSED AS A REHEARSAL"));
  EXPECT_THAT(rehearsal, Not(HasSubstr("\nCERTIFIED")));
  certificate.rehearsal_reasons.clear();
  EXPECT_THAT(verdict_text(certificate, "f", {}), HasSubstr("\nCERTIFIED"));
}

TEST(Verdict, TellsWhichCriteriaThePlanChanges) {
  certify::Certificate certificate = certificate_of({});
  certificate.changed_criteria = {"tail_ratio_max = 1.5 (by default 1.1)"};
  EXPECT_THAT(verdict_text(certificate, "f", {}),
              HasSubstr("Criteria that the plan changes:\n  - tail_ratio_max = 1.5 (by default 1.1)\n"));
}

TEST(Verdict, TellsTheLongestStallsAndWhoMadeThem) {
  certify::Certificate certificate = certificate_of({});
  record::StallRow stall{.leg = 2, .step = 31, .length_ns = 400'000'000, .median_ns = 100'000'000};
  stall.cause = "slow_compute";
  stall.culprit = "rank 3 on b1";
  stall.confidence = 0.9;
  stall.why = "it computed long";
  certificate.metrics.stalls.worst.assign(5, stall);
  const std::string text = verdict_text(certificate, "f", {.width = 400});
  const std::string line = "slow computing, rank 3 on b1 (confidence 0.90): it computed long";
  EXPECT_THAT(text,
              HasSubstr("Longest stalls of the joint leg\n  - launch 2, step 31: 400 ms (median 100 ms)"));
  std::size_t lines = 0;
  for (std::size_t at = text.find(line); at != std::string::npos; at = text.find(line, at + 1))
    ++lines;
  EXPECT_EQ(lines, 3U);
}

TEST(Verdict, AFailedVerdictNeverLooksLikeAPass) {
  certify::Certificate certificate = certificate_of({});
  certificate.certified = false;
  EXPECT_THAT(verdict_text(certificate, "f", {}), HasSubstr("NOT CERTIFIED"));
}

TEST(Verification, NamesTheDifferences) {
  certify::FolderVerification found{certificate_of({}), {{{"/grade", "\"A+\"", "\"B\""}}}};
  const std::string text = verification_text(found, "results/run", {});
  EXPECT_THAT(text, HasSubstr("DIFFERENT"));
  EXPECT_THAT(text, HasSubstr("/grade"));
  found.verification.differences.clear();
  EXPECT_THAT(verification_text(found, "results/run", {}), HasSubstr("EQUAL"));
}

}  // namespace
}  // namespace lockstep::report
