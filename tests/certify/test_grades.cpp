#include <ostream>

#include <gmock/gmock.h>

#include "harness/certify/certificate.hpp"
#include "tests/certify/synthetic_evidence.hpp"

namespace lockstep::certify {
namespace {

using plan::Grade;
using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using tests::launch_of;
using tests::make_evidence;
using tests::make_plan;
using tests::Scenario;

Certificate certify(const Scenario& scenario) {
  const plan::Plan plan = make_plan(scenario);
  return make_certificate(make_evidence(scenario, plan), plan, "hash of the run file");
}

struct GradeCase {
  const char* name;
  Scenario scenario;
  Grade grade;
  const char* reason;  ///< part of some reason
  const char* advice;  ///< part of some advice; empty: there is none
};

/// Slow steps that are no stalls of the machine but a tail: 3 % of the joint steps.
std::vector<tests::SlowStep> tail() {
  std::vector<tests::SlowStep> slow;
  for (std::uint32_t i = 0; i < 8; ++i)
    slow.push_back({"joint", i % 4, 10 + 5 * (i / 4), 0.015});
  return slow;
}

/// Every third joint step is a stall, in a leg that is fast otherwise.
std::vector<tests::SlowStep> many_stalls() {
  std::vector<tests::SlowStep> slow;
  for (std::uint32_t round = 0; round < 4; ++round)
    for (std::uint32_t step = 3; step < 63; step += 3)
      slow.push_back({"joint", round, step, 0.03});
  return slow;
}

std::ostream& operator<<(std::ostream& out, const GradeCase& c) {
  return out << c.name;
}

class Grades : public testing::TestWithParam<GradeCase> {};

TEST_P(Grades, FollowTheTable) {
  const GradeCase& c = GetParam();
  const Certificate certificate = certify(c.scenario);
  EXPECT_EQ(certificate.grade, c.grade) << testing::PrintToString(certificate.reasons);
  EXPECT_THAT(certificate.gaps, IsEmpty());
  EXPECT_THAT(certificate.reasons, Contains(HasSubstr(c.reason)));
  if (*c.advice == '\0')
    EXPECT_THAT(certificate.advice, IsEmpty());
  else
    EXPECT_THAT(certificate.advice, Contains(HasSubstr(c.advice)));
}

INSTANTIATE_TEST_SUITE_P(
    Synthetic, Grades,
    testing::Values(
        GradeCase{"APlus", {}, Grade::a_plus, "every criterion of grade A is met", ""},
        GradeCase{"A", {.joint_s = 0.104}, Grade::a, "every criterion of grade A is met", ""},
        GradeCase{"BByEta",
                  {.joint_s = 0.109, .wan_exposed_s = 0.002},
                  Grade::b,
                  "grade A needs a lower end",
                  "the WAN alone does not explain it"},
        GradeCase{"BByEtaAndWan",
                  {.joint_s = 0.11, .wan_exposed_s = 0.01},
                  Grade::b,
                  "exposed WAN time",
                  "raise the bandwidth between the sites from 200 MB/s"},
        GradeCase{"BByExposedWan",
                  {.wan_exposed_s = 0.007},
                  Grade::b,
                  "exposed WAN time / step time is 0.069",
                  "exposed WAN time is 7.0 % of the step, at most 3.0 % is allowed"},
        GradeCase{"BByTail", {.slow = tail()}, Grade::b, "p99 / p50", "p99 115 ms) has to stay below 110 ms"},
        GradeCase{"BByEffectiveTime",
                  {.alone_a_s = 0.09, .alone_b_s = 0.09, .joint_s = 0.08, .slow = many_stalls()},
                  Grade::b,
                  "effective-training-time ratio",
                  "stalls and restarts cost"},
        GradeCase{"BByContribution",
                  {.alone_a_s = 0.118, .alone_b_s = 0.1, .joint_s = 0.1155, .wan_exposed_s = 0.001},
                  Grade::b,
                  "what site A adds",
                  "more tokens/s"},
        GradeCase{"C",
                  {.joint_s = 0.15, .compute_share = 0.53, .wan_transfer_s = 0.07, .wan_exposed_s = 0.05},
                  Grade::c,
                  "synchronous training is too slow",
                  "for grade B"},
        GradeCase{"DBySlowness",
                  {.joint_s = 1.2, .compute_share = 0.067, .wan_transfer_s = 1.1, .wan_exposed_s = 1.1},
                  Grade::d,
                  "adding site A lowers the throughput",
                  "for grade C: one synchronisation may take"}),
    [](const testing::TestParamInfo<GradeCase>& c) { return c.param.name; });

TEST(Grade, AdviceOnBandwidthIsArithmetic) {
  // 7 ms exposed of a 100 ms step, 3 allowed: 4 of the 20 ms transfer have to go, 4 MB in 16 ms are 250 MB/s.
  const Certificate certificate = certify({.noise = 0.0, .launch_noise = 0.0, .wan_exposed_s = 0.007});
  EXPECT_THAT(certificate.advice, Contains(HasSubstr("from 200 MB/s to 250 MB/s")));
}

TEST(Grade, WrongDataMakeItD) {
  const Scenario scenario;
  const plan::Plan plan = make_plan(scenario);
  record::Evidence evidence = make_evidence(scenario, plan);
  evidence.failures.push_back({.leg = launch_of(evidence, "joint", 0),
                               .rank = 2,
                               .step = 11,
                               .op = 1,
                               .kind = "wrong_value",
                               .offset = 4711,
                               .expected = 10.0,
                               .observed = 12.0,
                               .message = ""});
  const Certificate certificate = make_certificate(evidence, plan, "h");
  EXPECT_EQ(certificate.grade, Grade::d);
  EXPECT_THAT(certificate.reasons,
              Contains(HasSubstr("rank 2, step 11, op 1, element 4711: 12 instead of 10")));
}

TEST(Grade, AJointLegThatCannotFinishMakesItD) {
  const Scenario scenario;
  const plan::Plan plan = make_plan(scenario);
  for (const char* kind : {"killed", "deadline", "transport", "host_lost"}) {
    record::Evidence evidence = make_evidence(scenario, plan);
    const std::uint32_t joint = launch_of(evidence, "joint", 1);
    evidence.leg_ends[joint].outcome = "failed";
    std::erase_if(evidence.steps,
                  [&](const record::StepRow& row) { return row.leg == joint && row.step > 17; });
    evidence.failures.push_back(
        {.leg = joint, .rank = 3, .kind = kind, .message = "bucket0.all_reduce of step 18"});
    const Certificate certificate = make_certificate(evidence, plan, "h");
    EXPECT_EQ(certificate.grade, Grade::d) << kind << testing::PrintToString(certificate.gaps);
    EXPECT_THAT(certificate.reasons, Contains(HasSubstr("bucket0.all_reduce of step 18")));
    EXPECT_EQ(exit_code(certificate), ExitCode::not_certified);
  }
}

TEST(Grade, AJointLegThatFailedForNoKnownCauseIsInconclusive) {
  const Scenario scenario;
  const plan::Plan plan = make_plan(scenario);
  record::Evidence evidence = make_evidence(scenario, plan);
  const std::uint32_t joint = launch_of(evidence, "joint", 1);
  evidence.leg_ends[joint].outcome = "failed";
  EXPECT_EQ(make_certificate(evidence, plan, "h").grade, Grade::inconclusive);
  evidence.failures.push_back({.leg = joint, .kind = "launch", .message = "no route to host"});
  EXPECT_EQ(make_certificate(evidence, plan, "h").grade, Grade::inconclusive);
}

TEST(Grade, ABaselineThatFailedIsInconclusiveWhateverTheJointLegDid) {
  const Scenario scenario;
  const plan::Plan plan = make_plan(scenario);
  record::Evidence evidence = make_evidence(scenario, plan);
  for (const char* leg : {"A", "joint"}) {
    evidence.leg_ends[launch_of(evidence, leg, 1)].outcome = "failed";
    evidence.failures.push_back(
        {.leg = launch_of(evidence, leg, 1), .rank = 0, .kind = "killed", .message = ""});
  }
  EXPECT_EQ(make_certificate(evidence, plan, "h").grade, Grade::inconclusive);
}

TEST(Grade, OnlyTheLowerEndCounts) {
  // eta is 0.96 and would be A; launches that differ by 3 % do not prove it.
  const Certificate certificate = certify({.joint_s = 0.1 / 0.96, .launch_noise = 0.02});
  ASSERT_TRUE(certificate.metrics.eta.has_value());
  EXPECT_LT(certificate.metrics.eta->low, 0.95);
  EXPECT_GT(static_cast<int>(certificate.grade), static_cast<int>(Grade::a));
}

TEST(Grade, RequiredGradeDecidesTheExitCode) {
  Scenario scenario{.joint_s = 0.109};
  plan::Plan plan = make_plan(scenario);
  const record::Evidence evidence = make_evidence(scenario, plan);
  EXPECT_EQ(exit_code(make_certificate(evidence, plan, "h")), ExitCode::not_certified);
  plan.criteria.required_grade = Grade::b;
  EXPECT_EQ(exit_code(make_certificate(evidence, plan, "h")), ExitCode::certified);
  plan.criteria.required_grade = Grade::a_plus;
  EXPECT_EQ(exit_code(make_certificate(evidence, plan, "h")), ExitCode::not_certified);
}

}  // namespace
}  // namespace lockstep::certify
