#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "harness/certify/certificate.hpp"
#include "harness/certify/device_health.hpp"
#include "harness/step/stamps.hpp"
#include "harness/watch/throttle_bits.hpp"
#include "tests/certify/synthetic_evidence.hpp"
#include "tests/watch/synthetic_health.hpp"

namespace lockstep::certify {
namespace {

using record::Evidence;
using testing::Contains;
using testing::Each;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;
using tests::Scenario;

/// Launches of 24 s: long enough for a drift.
const Scenario kLong{.rounds = 2, .steps = 240};

Evidence on_cards(const Scenario& scenario = kLong) {
  Evidence evidence = tests::make_evidence(scenario, tests::make_plan(scenario));
  for (const record::LegRow& leg : evidence.legs)
    tests::add_cards(evidence, leg.leg);
  return evidence;
}

Certificate certify_it(const Evidence& evidence, const Scenario& scenario = kLong) {
  return make_certificate(evidence, tests::make_plan(scenario), "sha");
}

const Criterion* find(const Certificate& certificate, const std::string& name) {
  for (const Criterion& criterion : certificate.criteria)
    if (criterion.name == name)
      return &criterion;
  return nullptr;
}

/// Compute time of a rank in one launch goes up evenly, to `factor` times what it was.
void sink(Evidence& evidence, std::uint32_t leg, std::uint32_t rank, double factor,
          std::uint32_t steps = 243) {
  for (record::StepRow& row : evidence.steps)
    if (row.leg == leg && row.rank == rank)
      row.compute_ns = static_cast<std::int64_t>(static_cast<double>(row.compute_ns) *
                                                 (1.0 + (factor - 1.0) * row.step / steps));
}

TEST(DeviceHealth, AWellRunHasNothingToTell) {
  const Certificate certificate = certify_it(on_cards());
  EXPECT_EQ(certificate.grade, plan::Grade::a_plus);
  EXPECT_EQ(certificate.metrics.devices.watched, 4U);
  EXPECT_THAT(describe_devices(certificate.metrics.devices), IsEmpty());
  EXPECT_THAT(certificate.incidents, IsEmpty());
  const Criterion* drift = find(certificate, "rate_drift");
  ASSERT_NE(drift, nullptr);
  EXPECT_EQ(drift->status, Status::pass);
  EXPECT_NEAR(*drift->value, 0.0, 1e-9);
  EXPECT_EQ(drift->threshold, 0.05);
}

TEST(DeviceHealth, DriftNeedsNoDevicesButTime) {
  const Evidence evidence = tests::make_evidence(kLong, tests::make_plan(kLong));
  EXPECT_NE(find(certify_it(evidence), "rate_drift"), nullptr);
  const Scenario brief;
  EXPECT_EQ(find(certify_it(tests::make_evidence(brief, tests::make_plan(brief)), brief), "rate_drift"),
            nullptr)
      << "six seconds tell nothing";
}

TEST(DeviceHealth, ARateThatFallsFailsItsCriterionAndNamesTheCard) {
  Evidence evidence = on_cards();
  const std::uint32_t leg = tests::launch_of(evidence, "joint", 1);
  sink(evidence, leg, 3, 1.25);
  const Certificate certificate = certify_it(evidence);
  const Criterion* drift = find(certificate, "rate_drift");
  ASSERT_NE(drift, nullptr);
  EXPECT_EQ(drift->status, Status::fail);
  EXPECT_NEAR(*drift->value, 1.0 - 1.0 / 1.25, 0.01);
  EXPECT_LE(drift->interval->low, *drift->value);
  EXPECT_GE(drift->interval->high, *drift->value);
  EXPECT_THAT(drift->axis, HasSubstr("rank 3 on host-B (H200, serial 16503), leg joint, round 2"));
  EXPECT_EQ(certificate.grade, plan::Grade::b);
  EXPECT_THAT(certificate.reasons, Contains(HasSubstr("loss of a rank's compute rate over a launch is 0.1")));
  EXPECT_THAT(certificate.advice, Contains(HasSubstr("rank 3 on host-B (H200, serial 16503) lost ")));
  ASSERT_FALSE(certificate.metrics.devices.drifts.empty());
  EXPECT_EQ(certificate.metrics.devices.drifts[0].place.rank, 3U);
  EXPECT_EQ(certificate.metrics.devices.drift_series, 2U * (2 + 2 + 4));
}

TEST(DeviceHealth, ASmallOrARisingRateIsNoFault) {
  for (const double factor : {1.03, 0.7}) {
    Evidence evidence = on_cards();
    sink(evidence, tests::launch_of(evidence, "joint", 1), 3, factor);
    EXPECT_EQ(find(certify_it(evidence), "rate_drift")->status, Status::pass) << factor;
  }
}

TEST(DeviceHealth, NoiseIsNoDrift) {
  Evidence evidence = on_cards();
  stats::Random random{5};
  for (record::StepRow& row : evidence.steps)
    row.compute_ns += static_cast<std::int64_t>(3e7 * random.uniform());  // up to 37 % longer
  EXPECT_EQ(find(certify_it(evidence), "rate_drift")->status, Status::pass);
}

TEST(DeviceHealth, ThePlanSetsHowMuchMayBeLost) {
  Evidence evidence = on_cards();
  sink(evidence, tests::launch_of(evidence, "A", 0), 1, 1.25);
  plan::Plan plan = tests::make_plan(kLong);
  plan.criteria.rate_drift_max = 0.5;
  EXPECT_EQ(make_certificate(evidence, plan, "sha").grade, plan::Grade::a_plus);
}

TEST(DeviceHealth, ThrottledStepsAreCountedByRankAndLeg) {
  Evidence evidence = on_cards();
  const std::uint32_t joint = tests::launch_of(evidence, "joint", 0);
  tests::throttle(evidence, joint, 2, 50, 99, watch::kThrottleHeatHardware);
  tests::throttle(evidence, joint, 3, 90, 109, watch::kThrottlePowerBrake);
  tests::throttle(evidence, joint, 0, 50, 149, watch::kThrottlePowerCap);
  tests::throttle(evidence, joint, 1, 0, 1, watch::kThrottleHeatHardware);  // warm-up
  const Certificate certificate = certify_it(evidence);
  const DeviceHealth& health = certificate.metrics.devices;
  ASSERT_THAT(health.throttled, SizeIs(2));
  EXPECT_EQ(health.throttled[0].place.rank, 2U);
  EXPECT_EQ(health.throttled[0].place.serial, "16502");
  EXPECT_NEAR(static_cast<double>(health.throttled[0].throttled), 50.0, 1.0);
  EXPECT_EQ(health.throttled[0].steps, 480U);
  EXPECT_EQ(health.throttled[0].bits, watch::kThrottleHeatHardware);
  EXPECT_EQ(health.throttled[0].hottest_c, 92.0);
  EXPECT_THAT(health.throttled[0].marked, testing::MatchesRegex("round 1: (49|50)-(99|100)"));
  EXPECT_EQ(health.throttled[1].place.rank, 3U);
  ASSERT_NE(health.leg("joint"), nullptr);
  EXPECT_NEAR(static_cast<double>(health.leg("joint")->throttled), 60.0, 2.0) << "steps of both count once";
  EXPECT_EQ(health.leg("A")->throttled, 0U);
  EXPECT_EQ(health.leg("A")->steps, 480U);
  EXPECT_THAT(describe_devices(health),
              Contains(HasSubstr("rank 2 on host-B (H200, serial 16502) was throttled in 5")));
  EXPECT_THAT(describe_devices(health),
              Contains(HasSubstr("of 480 steps of leg joint: heat (hardware), up to 92")));
  EXPECT_EQ(certificate.grade, plan::Grade::a_plus) << "steps were as short as ever";
}

TEST(DeviceHealth, MarkedStepsAreRunsByRound) {
  Evidence evidence = on_cards();
  const std::uint32_t first = tests::launch_of(evidence, "joint", 0);
  const std::uint32_t second = tests::launch_of(evidence, "joint", 1);
  for (std::uint32_t i = 0; i < 20; ++i)
    tests::throttle(evidence, second, 2, 10 + 10 * i, 12 + 10 * i, watch::kThrottleHeatHardware);
  tests::throttle(evidence, first, 2, 200, 204, watch::kThrottleHeatHardware);
  const DeviceHealth health = certify_it(evidence).metrics.devices;
  ASSERT_THAT(health.throttled, SizeIs(1));
  EXPECT_THAT(health.throttled[0].marked, HasSubstr("; round 2: "));
  EXPECT_TRUE(health.throttled[0].marked.starts_with("round 1: "));
  EXPECT_TRUE(health.throttled[0].marked.ends_with(", ..."));
  EXPECT_LE(health.throttled[0].marked.size(), 250U);
}

TEST(DeviceHealth, ABaselineThatWasThrottledAloneProvesNothing) {
  Evidence evidence = on_cards();
  tests::throttle(evidence, tests::launch_of(evidence, "B", 0), 1, 20, 99, watch::kThrottleHeatSoftware);
  const Certificate certificate = certify_it(evidence);
  EXPECT_EQ(certificate.grade, plan::Grade::inconclusive);
  EXPECT_THAT(certificate.gaps, Contains(HasSubstr("leg B had a throttled device in 1")));
  // When the joint leg suffered as much, the comparison is fair.
  for (const std::uint32_t round : {0U, 1U})
    tests::throttle(evidence, tests::launch_of(evidence, "joint", round), 3, 20, 99,
                    watch::kThrottleHeatSoftware);
  EXPECT_THAT(certify_it(evidence).gaps, IsEmpty());
}

TEST(DeviceHealth, TheSlowCardIsNamed) {
  Evidence evidence = on_cards();
  for (const std::uint32_t round : {0U, 1U}) {
    const std::uint32_t leg = tests::launch_of(evidence, "joint", round);
    for (record::StepRow& row : evidence.steps)
      if (row.leg == leg && row.rank == 2)
        row.compute_ns = row.compute_ns * 12 / 10;
    tests::throttle(evidence, leg, 2, 20, 99, watch::kThrottleHeatSoftware);
  }
  const DeviceHealth health = certify_it(evidence).metrics.devices;
  ASSERT_TRUE(health.slow);
  EXPECT_EQ(health.slow->place.rank, 2U);
  EXPECT_EQ(health.slow->place.serial, "16502");
  EXPECT_NEAR(health.slow->ratio, 1.2, 1e-6);
  EXPECT_EQ(health.slow->launches, 2U);
  EXPECT_THAT(describe_devices(health),
              Contains(HasSubstr(
                  "rank 2 on host-B (H200, serial 16502) computes 20.0 % longer than the median rank in "
                  "all 2 joint launches; its device was throttled in 16")));
}

TEST(DeviceHealth, ARankThatIsSlowInOneLaunchOnlyIsNot) {
  Evidence evidence = on_cards();
  const std::uint32_t leg = tests::launch_of(evidence, "joint", 0);
  for (record::StepRow& row : evidence.steps)
    if (row.leg == leg && row.rank == 2)
      row.compute_ns *= 2;
  EXPECT_FALSE(certify_it(evidence).metrics.devices.slow);
}

TEST(DeviceHealth, WhatSlowsTheJobIsInReasonsAndAdvice) {
  Scenario scenario = kLong;
  scenario.joint_s = 0.108;
  Evidence evidence = on_cards(scenario);
  for (record::StepRow& row : evidence.steps)
    if (row.rank == 2)
      row.compute_ns = row.compute_ns * 12 / 10;
  const Certificate certificate = certify_it(evidence, scenario);
  EXPECT_EQ(certificate.grade, plan::Grade::b);
  EXPECT_THAT(certificate.reasons,
              Contains(HasSubstr("rank 2 on host-B (H200, serial 16502) computes 20.0 % longer")));
  EXPECT_THAT(certificate.advice,
              Contains(HasSubstr("all ranks wait for rank 2 on host-B (H200, serial 16502)")));
}

TEST(DeviceHealth, AResultThatWasComputedWronglyIsAnIncidentWithItsSerial) {
  Evidence evidence = on_cards();
  record::FailureRow failure;
  failure.leg = tests::launch_of(evidence, "joint", 0);
  failure.rank = 3;
  failure.step = 77;
  failure.op = 0;
  failure.kind = "checksum";
  failure.utc_ns = 1'790'000'100'000'000'000;
  failure.message = "layer0.down of step 77 failed its checksum";
  evidence.failures.push_back(failure);
  for (record::StepRow& row : evidence.steps)
    if (row.leg == failure.leg && row.rank == 3 && row.step == 77)
      row.flags |= step::kStepCorrupt;  // as the rank flags it: the same result, not another one
  const Certificate certificate = certify_it(evidence);
  EXPECT_EQ(certificate.grade, plan::Grade::d);
  EXPECT_EQ(certificate.metrics.data.wrong_results, 1U);
  EXPECT_EQ(certificate.metrics.data.wrong_values, 0U);
  EXPECT_EQ(find(certificate, "data")->status, Status::fail);
  ASSERT_THAT(certificate.incidents, SizeIs(1));
  EXPECT_EQ(certificate.incidents[0].kind, "silent_data_corruption");
  EXPECT_THAT(certificate.incidents[0].cause, HasSubstr("serial 16503"));
  EXPECT_EQ(certificate.reasons[0], "computed results were wrong");
  EXPECT_THAT(certificate.reasons, Contains(HasSubstr("silent data corruption, rank 3 on host-B")));
  EXPECT_THAT(certificate.advice, Contains(HasSubstr("serial 16503")));
}

TEST(DeviceHealth, ACardsErrorsAreIncidentsOfALaunchThatCompleted) {
  Evidence evidence = on_cards();
  const std::uint32_t leg = tests::launch_of(evidence, "joint", 0);
  for (std::uint32_t step = 100; step < 243; ++step)
    tests::health_at(evidence, leg, 1, step).ecc_uncorrected = 2;
  const Certificate certificate = certify_it(evidence);
  ASSERT_THAT(certificate.incidents, SizeIs(1));
  EXPECT_EQ(certificate.incidents[0].kind, "device_error");
  EXPECT_EQ(certificate.incidents[0].step, 100);
  EXPECT_THAT(certificate.incidents[0].cause, HasSubstr("serial 16501"));
}

TEST(DeviceHealth, IsInTheCertificate) {
  Evidence evidence = on_cards();
  const std::uint32_t leg = tests::launch_of(evidence, "joint", 1);
  sink(evidence, leg, 3, 1.25);
  tests::throttle(evidence, leg, 3, 50, 99, watch::kThrottleHeatHardware);
  const Certificate certificate = certify_it(evidence);
  const auto json = nlohmann::json::parse(serialize(certificate));
  const auto& devices = json["information"]["devices"];
  EXPECT_EQ(devices["watched"], 4);
  EXPECT_EQ(devices["legs"].size(), 3U);
  EXPECT_EQ(devices["throttled_ranks"], 1);
  EXPECT_EQ(devices["throttled"][0]["serial"], "16503");
  EXPECT_EQ(devices["throttled"][0]["reasons"], "heat (hardware)");
  EXPECT_EQ(devices["throttled"][0]["hottest_c"], 92.0);
  EXPECT_EQ(devices["rate_drift"][0]["serial"], "16503");
  EXPECT_EQ(devices["rate_drift"][0]["leg"], "joint");
  EXPECT_NEAR(devices["rate_drift"][0]["loss"].get<double>(), 0.2, 0.01);
  EXPECT_TRUE(devices["slow_rank"].is_null());
  EXPECT_EQ(serialize(certificate), serialize(certify_it(evidence)));
}

}  // namespace
}  // namespace lockstep::certify
