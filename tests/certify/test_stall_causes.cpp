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
  EXPECT_THAT(describe_stalls(metrics), HasSubstr("without a cause that stands out"));
}

constexpr std::int64_t kExtraNs = 300'000'000;

/// The compute stream of these ranks stood still for communication in the slow steps.
template <class Concerned>
void expose(const Scenario& scenario, record::Evidence& evidence, Concerned concerned) {
  for (record::StepRow& row : evidence.steps)
    if (is_slow(scenario, evidence, row.leg, row.step) && concerned(row.rank))
      row.exposed_ns += kExtraNs;
}

record::Evidence long_transfers(const Scenario& scenario) {
  record::Evidence evidence = tests::make_evidence(scenario, tests::make_plan(scenario));
  for (record::CommRow& row : evidence.comms)
    if (is_slow(scenario, evidence, row.leg, row.step))
      row.begin_ns -= kExtraNs;
  expose(scenario, evidence, [](std::uint32_t) { return true; });
  return evidence;
}

record::Evidence slow_rank(const Scenario& scenario) {
  record::Evidence evidence = tests::make_evidence(scenario, tests::make_plan(scenario));
  for (record::CommRow& row : evidence.comms) {
    if (!is_slow(scenario, evidence, row.leg, row.step) || row.rank == 3)
      continue;
    row.begin_ns -= kExtraNs;
    row.wait_ns += kExtraNs;
  }
  for (record::StepRow& row : evidence.steps)
    if (row.rank == 3 && is_slow(scenario, evidence, row.leg, row.step))
      row.compute_ns += kExtraNs;
  expose(scenario, evidence, [](std::uint32_t rank) { return rank != 3; });
  return evidence;
}

TEST(StallCauses, LongTransfersThatEveryRankJoinedPointBetweenTheSites) {
  const Scenario scenario = with_stalls();
  const Metrics metrics = metrics_of(scenario, long_transfers(scenario));
  EXPECT_EQ(metrics.stalls.between_sites, 3U);
  EXPECT_NEAR(metrics.stalls.between_sites_cost_s, metrics.stalls.cost_s, 1e-9);
  ASSERT_EQ(metrics.stalls.causes.size(), 1U);
  EXPECT_EQ(metrics.stalls.causes[0].cause, "slow_wan");
  EXPECT_EQ(metrics.stalls.causes[0].culprit, "A - B");
  EXPECT_EQ(metrics.stalls.causes[0].steps, 3U);
  EXPECT_GE(metrics.stalls.causes[0].confidence, 0.6);
  EXPECT_THAT(describe_stalls(metrics),
              HasSubstr("in transfers between sites A - B that every rank had joined"));
  EXPECT_THAT(describe_stalls(metrics), Not(HasSubstr("without a cause")));
}

TEST(StallCauses, WaitingForALateRankIsNoTransfer) {
  const Scenario scenario = with_stalls();
  const Metrics metrics = metrics_of(scenario, slow_rank(scenario));
  EXPECT_EQ(metrics.stalls.between_sites, 0U);
  EXPECT_EQ(metrics.stalls.in_compute, 3U);
  ASSERT_EQ(metrics.stalls.causes.size(), 1U);
  EXPECT_EQ(metrics.stalls.causes[0].culprit, "rank 3 on host-B");
  EXPECT_THAT(describe_stalls(metrics), HasSubstr("in computing of rank 3 on host-B"));
}

TEST(StallCauses, TheLongestAreKeptWithTheirReasons) {
  Scenario scenario = with_stalls();
  scenario.slow[1].extra_s += 0.1;
  const Metrics metrics = metrics_of(scenario, slow_rank(scenario));
  ASSERT_EQ(metrics.stalls.worst.size(), 3U);
  EXPECT_EQ(metrics.stalls.worst[0].step, 30U);
  EXPECT_EQ(metrics.stalls.worst[0].culprit, "rank 3 on host-B");
  EXPECT_THAT(metrics.stalls.worst[0].why, HasSubstr("computed 380 ms"));
}

TEST(StallCauses, CausesInTheRunFileAreNotBelieved) {
  const Scenario scenario = with_stalls();
  record::Evidence evidence = slow_rank(scenario);
  evidence.stalls.push_back({.leg = tests::launch_of(evidence, "joint", 0),
                             .step = 20,
                             .cause = "slow_wan",
                             .culprit = "A - B",
                             .confidence = 1.0});
  EXPECT_EQ(metrics_of(scenario, std::move(evidence)).stalls.between_sites, 0U);
}

TEST(StallCauses, AQuietRunHasNone) {
  const Scenario scenario;
  const Metrics metrics = metrics_of(scenario, tests::make_evidence(scenario, tests::make_plan(scenario)));
  EXPECT_EQ(metrics.stalls.steps, 0U);
  EXPECT_THAT(describe_stalls(metrics), IsEmpty());
}

}  // namespace
}  // namespace lockstep::certify
