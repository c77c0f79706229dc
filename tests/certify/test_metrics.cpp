#include <gtest/gtest.h>

#include "harness/certify/metrics.hpp"
#include "harness/step/stamps.hpp"
#include "tests/certify/synthetic_evidence.hpp"

namespace lockstep::certify {
namespace {

using tests::launch_of;
using tests::make_evidence;
using tests::make_plan;
using tests::Scenario;

Metrics metrics_of(const Scenario& scenario) {
  const plan::Plan plan = make_plan(scenario);
  return compute_metrics(make_evidence(scenario, plan), plan);
}

constexpr double kEven = 0.0;  // no noise at all

TEST(Metrics, StepTimeIsFromLastRankToLastRankOnTheCommonClock) {
  const Metrics metrics = metrics_of({.noise = kEven, .launch_noise = kEven});
  ASSERT_EQ(metrics.legs.size(), 3U);
  for (const LegMetrics& leg : metrics.legs) {
    EXPECT_EQ(leg.figures.time_s.count, 240U) << leg.name;  // 4 rounds of 60, warm-up left out
    // Offsets of a thousand days that drift by 20 ppm a rank are gone to the nanosecond or so.
    EXPECT_NEAR(leg.figures.time_s.min, 0.1, 1e-8);
    EXPECT_NEAR(leg.figures.time_s.max, 0.1, 1e-8);
    EXPECT_NEAR(leg.figures.tokens_per_s_per_rank, 40960.0, 0.1);
    EXPECT_EQ(leg.figures.stalls, 0U);
    EXPECT_EQ(leg.rounds.size(), 4U);
  }
}

TEST(Metrics, TheFirstStepCountsFromTheLatestBegin) {
  Scenario scenario{.rounds = 1, .warmup_steps = 0, .steps = 10, .noise = kEven, .launch_noise = kEven};
  const Metrics metrics = metrics_of(scenario);
  EXPECT_NEAR(metrics.joint()->figures.time_s.min, 0.1 - 50e-6, 1e-8);
  EXPECT_NEAR(metrics.joint()->figures.time_s.p50, 0.1, 1e-8);
}

TEST(Metrics, AStepThatOneRankLacksIsNotCounted) {
  const Scenario scenario{.rounds = 1, .noise = kEven, .launch_noise = kEven};
  const plan::Plan plan = make_plan(scenario);
  record::Evidence evidence = make_evidence(scenario, plan);
  const std::uint32_t joint = launch_of(evidence, "joint", 0);
  std::erase_if(evidence.steps, [&](const record::StepRow& row) {
    return row.leg == joint && row.rank == 3 && row.step == 20;
  });
  const Metrics metrics = compute_metrics(evidence, plan);
  EXPECT_EQ(metrics.joint()->figures.time_s.count, 59U);
  // The next one counts from its own begin, not over the gap.
  EXPECT_LT(metrics.joint()->figures.time_s.max, 0.1001);
}

TEST(Metrics, EtaIsAgainstTheBestSiteAlone) {
  const Metrics metrics = metrics_of({.alone_a_s = 0.1, .alone_b_s = 0.08, .joint_s = 0.1});
  ASSERT_TRUE(metrics.eta.has_value());
  EXPECT_EQ(metrics.eta_best, "B");
  EXPECT_NEAR(metrics.eta->value, 0.8, 0.003);
  EXPECT_LE(metrics.eta->low, 0.8);
  EXPECT_GE(metrics.eta->high, 0.8);
  EXPECT_EQ(metrics.eta->rounds, 4U);
}

TEST(Metrics, ContributionIsWhatASiteAdds) {
  // Tokens/s alone: A 81920, B 102400; joint 4 * 4096 / 0.1 = 163840.
  const Metrics metrics =
      metrics_of({.alone_a_s = 0.1, .alone_b_s = 0.08, .noise = kEven, .launch_noise = kEven});
  ASSERT_EQ(metrics.contributions.size(), 2U);
  EXPECT_NEAR(metrics.contributions[0].value, (163840.0 - 102400.0) / 81920.0, 1e-4);
  EXPECT_NEAR(metrics.contributions[1].value, (163840.0 - 81920.0) / 102400.0, 1e-4);
}

/// Only rank 0, which arrives first and waits 8 ms, shows exposed time.
double exposed_wan_of_first_rank(double exposed_s) {
  const Scenario scenario{.noise = kEven,
                          .launch_noise = kEven,
                          .wan_transfer_s = 0.02,
                          .wan_exposed_s = exposed_s,
                          .wan_wait_s = 0.008};
  const plan::Plan plan = make_plan(scenario);
  record::Evidence evidence = make_evidence(scenario, plan);
  for (record::CommRow& row : evidence.comms)
    if (row.rank != 0)
      row.exposed_ns = 0;
  return compute_metrics(evidence, plan).exposed_wan.value_or(-1.0);
}

TEST(Metrics, ExposedWanLeavesOutTheWaitingThatComputeSaw) {
  // Half hidden: the waiting lies in the hidden part and takes nothing from the exposed transfer.
  EXPECT_NEAR(exposed_wan_of_first_rank(0.01), 0.1, 1e-4);
  // Wholly exposed: the compute stream saw the waiting too, and it is taken off.
  EXPECT_NEAR(exposed_wan_of_first_rank(0.02), 0.2, 1e-4);
}

TEST(Metrics, WanTransferIsWhatTheLastToArriveSees) {
  const Metrics metrics = metrics_of({.noise = kEven, .launch_noise = kEven, .wan_transfer_s = 0.02});
  EXPECT_NEAR(metrics.wan->transfer_s, 0.02, 1e-6);
  EXPECT_NEAR(metrics.wan->cut_bytes, 4e6, 1.0);  // S * 2(m-1)/m of two sites
}

TEST(Metrics, ExposedWanIsUnknownWhenARankLacksACommunication) {
  const Scenario scenario;
  const plan::Plan plan = make_plan(scenario);
  record::Evidence evidence = make_evidence(scenario, plan);
  const std::uint32_t joint = launch_of(evidence, "joint", 2);
  std::erase_if(evidence.comms, [&](const record::CommRow& row) {
    return row.leg == joint && row.rank == 1 && row.step == 30;
  });
  EXPECT_FALSE(compute_metrics(evidence, plan).exposed_wan.has_value());
}

TEST(Metrics, StallsCostEffectiveTime) {
  // 2 s lost in 4 rounds of 60 steps of 0.1 s.
  const Metrics metrics = metrics_of(
      {.noise = kEven, .launch_noise = kEven, .slow = {{"joint", 1, 20, 1.5}, {"joint", 3, 40, 0.5}}});
  EXPECT_EQ(metrics.joint()->figures.stalls, 2U);
  EXPECT_NEAR(*metrics.effective_time, 24.0 / 26.0, 1e-4);
  EXPECT_NEAR(metrics.effective_wall_s, 26.0, 1e-3);
}

TEST(Metrics, TimeBetweenAttemptsIsLost) {
  const Scenario scenario{.rounds = 1, .noise = kEven, .launch_noise = kEven};
  const plan::Plan plan = make_plan(scenario);
  record::Evidence evidence = make_evidence(scenario, plan);
  const std::uint32_t joint = launch_of(evidence, "joint", 0);
  // An attempt that failed before its first step, 20 s earlier.
  record::LegRow first = evidence.legs[joint];
  evidence.legs[joint].attempt = 1;
  first.leg = 77;
  first.launched_utc_ns -= 20'000'000'000;
  evidence.legs.push_back(first);
  evidence.leg_ends.push_back(
      {.leg = 77, .outcome = "failed", .ended_utc_ns = first.launched_utc_ns + 1, .message = ""});
  const Metrics metrics = compute_metrics(evidence, plan);
  // 6.3 s of steps + 2 s around them + 20 s.
  EXPECT_NEAR(metrics.effective_wall_s, 28.3, 0.01);
  EXPECT_NEAR(*metrics.effective_time, 6.0 / 28.3, 1e-3);
}

TEST(Metrics, TailRatio) {
  Scenario scenario{.noise = kEven, .launch_noise = kEven};
  EXPECT_NEAR(*metrics_of(scenario).tail_ratio, 1.0, 1e-6);
  for (std::uint32_t step = 10; step < 16; ++step)  // 6 of 240: more than the slowest hundredth
    scenario.slow.push_back({"joint", 0, step, 0.05});
  const Metrics metrics = metrics_of(scenario);
  EXPECT_NEAR(*metrics.tail_ratio, 1.5, 1e-4);
  EXPECT_LE(metrics.tail_interval->low, 1.5);
  EXPECT_GE(metrics.tail_interval->high, 1.5 - 1e-4);
  EXPECT_FALSE(metrics_of({.rounds = 1, .steps = 99}).tail_ratio.has_value());
}

TEST(Metrics, BandwidthsFollowTheConventions) {
  const Metrics metrics = metrics_of({.wan_transfer_s = 0.02, .wan_bytes = 4'000'000});
  ASSERT_EQ(metrics.comms.size(), 1U);
  const CommFigures& comm = metrics.comms[0];
  EXPECT_EQ(comm.kind, "all_reduce");
  EXPECT_EQ(comm.samples, 240U);
  EXPECT_NEAR(comm.time_s, 0.02, 1e-6);
  EXPECT_NEAR(comm.algbw, 200e6, 1e4);
  EXPECT_NEAR(comm.busbw, 300e6, 1e4);          // 2 * 3/4
  EXPECT_NEAR(comm.cut_bandwidth, 200e6, 1e4);  // 2 * 1/2
  EXPECT_DOUBLE_EQ(cut_bytes("all_reduce", 90.0, 3), 120.0);
  EXPECT_DOUBLE_EQ(cut_bytes("all_gather", 90.0, 3), 60.0);
  EXPECT_DOUBLE_EQ(cut_bytes("send_recv", 90.0, 3), 90.0);
  EXPECT_DOUBLE_EQ(cut_bytes("barrier", 90.0, 3), 0.0);
  EXPECT_DOUBLE_EQ(busbw_factor("reduce_scatter", 4), 0.75);
  EXPECT_DOUBLE_EQ(busbw_factor("broadcast", 4), 1.0);
}

TEST(Metrics, LowCommunicationProjection) {
  // H = 100, T = 0.08 s, T_sync = 2 s.
  const Metrics metrics =
      metrics_of({.joint_s = 2.5, .compute_share = 0.032, .wan_transfer_s = 2.0, .wan_exposed_s = 2.0});
  EXPECT_NEAR(*metrics.low_communication, 8.0 / 10.0, 1e-3);
}

TEST(Metrics, DataAreComparedBetweenRanks) {
  const Scenario scenario;
  const plan::Plan plan = make_plan(scenario);
  record::Evidence evidence = make_evidence(scenario, plan);
  EXPECT_EQ(compute_metrics(evidence, plan).data.checksum_mismatches, 0U);
  EXPECT_EQ(compute_metrics(evidence, plan).data.least_checked_steps, 7U);  // steps 0, 10, ... 60
  for (record::StepRow& row : evidence.steps)
    if (row.leg == launch_of(evidence, "joint", 1) && row.rank == 2 && row.step == 30)
      row.checksum ^= 1;
  EXPECT_EQ(compute_metrics(evidence, plan).data.checksum_mismatches, 1U);
  plan::Plan split = plan;
  split.workload.tensor_parallel = 2;  // then ranks hold different parts
  EXPECT_EQ(compute_metrics(evidence, split).data.checksum_mismatches, 0U);
}

TEST(Metrics, EmptyEvidenceGivesNoFigures) {
  const plan::Plan plan = make_plan({});
  record::Evidence evidence;
  const Metrics metrics = compute_metrics(evidence, plan);
  EXPECT_FALSE(metrics.eta || metrics.tail_ratio || metrics.exposed_wan || metrics.effective_time);
  EXPECT_TRUE(metrics.contributions.empty());
}

}  // namespace
}  // namespace lockstep::certify
