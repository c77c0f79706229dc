#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "harness/certify/metrics.hpp"
#include "harness/certify/stall_causes.hpp"
#include "tests/certify/synthetic_evidence.hpp"

namespace lockstep::certify {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using tests::Scenario;

constexpr double kExtraS = 0.3;

/// Three of 240 steps take 0.3 s longer.
Scenario with_stalls() {
  return {.slow = {{"joint", 0, 20, kExtraS}, {"joint", 1, 30, kExtraS}, {"joint", 3, 40, kExtraS}}};
}

bool is_slow(const Scenario& scenario, const record::Evidence& evidence, std::uint32_t leg,
             std::uint32_t step) {
  for (const tests::SlowStep& slow : scenario.slow) {
    if (slow.step == step && tests::launch_of(evidence, slow.leg, slow.round) == leg)
      return true;
  }
  return false;
}

Metrics metrics_of(const Scenario& scenario, record::Evidence evidence) {
  const plan::Plan plan = tests::make_plan(scenario);
  return compute_metrics(evidence, plan);
}

TEST(StallCauses, AStallThatNothingExplainsIsSaidToBeThat) {
  const Scenario scenario = with_stalls();
  const Metrics metrics = metrics_of(scenario, tests::make_evidence(scenario, tests::make_plan(scenario)));
  EXPECT_EQ(metrics.stalls.steps, 3U);
  EXPECT_EQ(metrics.stalls.between_sites, 0U);
  EXPECT_EQ(metrics.stalls.in_compute, 0U);
  EXPECT_NEAR(metrics.stalls.longest_s, 0.4, 0.005);
  EXPECT_NEAR(metrics.stalls.cost_s, 3 * kExtraS / 240, 1e-4);
  EXPECT_EQ(metrics.stalls.between_sites_cost_s, 0.0);
  EXPECT_THAT(describe_stalls(metrics), HasSubstr("3 not explained"));
}

TEST(StallCauses, LongTransfersThatEveryRankJoinedPointBetweenTheSites) {
  const Scenario scenario = with_stalls();
  record::Evidence evidence = tests::make_evidence(scenario, tests::make_plan(scenario));
  for (record::CommRow& row : evidence.comms) {
    if (is_slow(scenario, evidence, row.leg, row.step))
      row.begin_ns -= static_cast<std::int64_t>(kExtraS * 1e9);
  }
  const Metrics metrics = metrics_of(scenario, std::move(evidence));
  EXPECT_EQ(metrics.stalls.between_sites, 3U);
  EXPECT_NEAR(metrics.stalls.between_sites_cost_s, metrics.stalls.cost_s, 1e-9);
  EXPECT_THAT(describe_stalls(metrics), HasSubstr("3 in transfers between sites"));
  EXPECT_THAT(describe_stalls(metrics), Not(HasSubstr("not explained")));
}

TEST(StallCauses, WaitingForALateRankIsNoTransfer) {
  const Scenario scenario = with_stalls();
  record::Evidence evidence = tests::make_evidence(scenario, tests::make_plan(scenario));
  for (record::CommRow& row : evidence.comms) {
    if (!is_slow(scenario, evidence, row.leg, row.step) || row.rank == 3)
      continue;
    row.begin_ns -= static_cast<std::int64_t>(kExtraS * 1e9);
    row.wait_ns += static_cast<std::int64_t>(kExtraS * 1e9);
  }
  for (record::StepRow& row : evidence.steps) {
    if (row.rank == 3 && is_slow(scenario, evidence, row.leg, row.step))
      row.compute_ns += static_cast<std::int64_t>(kExtraS * 1e9);
  }
  const Metrics metrics = metrics_of(scenario, std::move(evidence));
  EXPECT_EQ(metrics.stalls.between_sites, 0U);
  EXPECT_EQ(metrics.stalls.in_compute, 3U);
  EXPECT_THAT(describe_stalls(metrics), HasSubstr("3 in the computing of the slowest rank"));
}

TEST(StallCauses, AQuietRunHasNone) {
  const Scenario scenario;
  const Metrics metrics = metrics_of(scenario, tests::make_evidence(scenario, tests::make_plan(scenario)));
  EXPECT_EQ(metrics.stalls.steps, 0U);
  EXPECT_THAT(describe_stalls(metrics), IsEmpty());
}

}  // namespace
}  // namespace lockstep::certify
