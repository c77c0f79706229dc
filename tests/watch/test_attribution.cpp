#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "harness/watch/attribution.hpp"
#include "harness/watch/throttle_bits.hpp"
#include "tests/watch/synthetic_health.hpp"
#include "tests/watch/synthetic_launch.hpp"

namespace lockstep::watch {
namespace {

using record::Evidence;
using record::StallRow;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;
using tests::make_launch;
using tests::Planted;
using tests::SyntheticLaunch;
using What = tests::Planted::What;

constexpr std::uint32_t kStep = 20;  // without stamps of all ops
constexpr std::uint32_t kStampedStep = 40;

std::vector<StallRow> stalls_of(const Evidence& evidence) {
  return attribute_stalls(view_of(evidence, 0));
}

/// The one stall of a launch in which these were planted.
StallRow stall_of(const std::vector<Planted>& planted, SyntheticLaunch launch = {}) {
  launch.planted = planted;
  const Evidence evidence = make_launch(launch);
  const std::vector<StallRow> stalls = stalls_of(evidence);
  EXPECT_THAT(stalls, SizeIs(1));
  return stalls.empty() ? StallRow{} : stalls.front();
}

Planted work(std::vector<std::uint32_t> ranks, double extra_s, std::uint32_t step = kStep) {
  return {What::work, step, tests::kBackward, std::move(ranks), extra_s};
}

Planted moving(std::uint32_t op, std::vector<std::uint32_t> ranks, double extra_s,
               std::uint32_t step = kStep) {
  return {What::moving, step, op, std::move(ranks), extra_s};
}

/// Probes of one pair of first ranks that fell into the step suffer.
void disturb_probes(Evidence& evidence, std::uint32_t rank, std::uint32_t peer, std::uint32_t step,
                    std::uint32_t lost, std::int64_t rtt_max_ns) {
  for (const record::StepRow& row : evidence.steps)
    for (record::ProbeRow& probe : evidence.probes)
      if (row.rank == rank && row.step == step && probe.rank == rank && probe.peer == peer &&
          probe.begin_ns < row.end_ns && probe.end_ns > row.begin_ns) {
        probe.lost = lost;
        probe.rtt_max_ns = rtt_max_ns;
      }
}

TEST(Attribution, ARankThatComputedLonger) {
  const StallRow stall = stall_of({work({5}, 0.2)});
  EXPECT_EQ(stall.step, kStep);
  EXPECT_EQ(stall.cause, "slow_compute");
  EXPECT_EQ(stall.culprit, "rank 5 on b1");
  EXPECT_GE(stall.confidence, 0.8);
  EXPECT_EQ(stall.op, static_cast<std::int32_t>(tests::kBucket0));  // others waited there
  EXPECT_EQ(stall.phase, "backward");
  EXPECT_THAT(stall.why, HasSubstr("computed 265 ms"));
  EXPECT_THAT(stall.why, HasSubstr("others waited"));
}

TEST(Attribution, TheSameWithoutClocks) {
  const StallRow stall = stall_of({work({5}, 0.2)}, {.clocks = false});
  EXPECT_EQ(stall.cause, "slow_compute");
  EXPECT_EQ(stall.culprit, "rank 5 on b1");
  EXPECT_GE(stall.confidence, 0.8);
}

TEST(Attribution, TheCriticalPathNamesTheOp) {
  const StallRow stall = stall_of({work({5}, 0.2, kStampedStep)});
  EXPECT_EQ(stall.culprit, "rank 5 on b1");
  EXPECT_EQ(stall.op, static_cast<std::int32_t>(tests::kBackward));
  EXPECT_GE(stall.confidence, 0.9);
  EXPECT_THAT(stall.why, HasSubstr("critical path: layer0.backward on rank 5"));
}

TEST(Attribution, ARankIsFoundThroughItsReplica) {
  // Rank 5 is late for its tensor-parallel peer 4, and so both are late for everybody.
  const StallRow stall = stall_of({{What::work, kStep, tests::kForward, {5}, 0.2}}, {.tensor_parallel = 2});
  EXPECT_EQ(stall.cause, "slow_compute");
  EXPECT_EQ(stall.culprit, "rank 5 on b1");
  EXPECT_GE(stall.confidence, 0.8);
}

TEST(Attribution, AllRanksOfAHost) {
  const StallRow stall = stall_of({work({2, 3}, 0.2)});
  EXPECT_EQ(stall.cause, "slow_host");
  EXPECT_EQ(stall.culprit, "host a2");
  EXPECT_GE(stall.confidence, 0.8);
}

TEST(Attribution, AllHostsOfASite) {
  const StallRow stall = stall_of({work({4, 5, 6, 7}, 0.2)});
  EXPECT_EQ(stall.cause, "slow_host");
  EXPECT_EQ(stall.culprit, "site B");
}

TEST(Attribution, AllRanksTogetherAreNoOnesFault) {
  const StallRow stall = stall_of({work({}, 0.2)});
  EXPECT_EQ(stall.cause, "slow_compute");
  EXPECT_EQ(stall.culprit, "");
  EXPECT_LE(stall.confidence, 0.6);
  EXPECT_THAT(stall.why, HasSubstr("all 8 ranks"));
}

TEST(Attribution, APauseBetweenStepsIsTheHostsAndNoComputing) {
  const StallRow stall = stall_of({{What::pause, kStep, 0, {6}, 0.15}});
  EXPECT_EQ(stall.cause, "slow_host");
  EXPECT_EQ(stall.culprit, "rank 6 on b2");
  EXPECT_GE(stall.confidence, 0.8);
  EXPECT_THAT(stall.why, HasSubstr("between two steps"));
}

TEST(Attribution, ACheckpointIsNamed) {
  SyntheticLaunch launch;
  launch.planted = {{What::pause, kStep, 0, {6}, 0.15}};
  Evidence evidence = make_launch(launch);
  for (const record::StepRow& row : evidence.steps)
    if (row.rank == 6 && row.step == kStep)
      evidence.checkpoints.push_back({.leg = 0,
                                      .rank = 6,
                                      .action = "save",
                                      .step = kStep,
                                      .begin_ns = row.begin_ns - 140'000'000,
                                      .end_ns = row.begin_ns - 10'000'000,
                                      .verified = 1});
  const std::vector<StallRow> stalls = stalls_of(evidence);
  ASSERT_THAT(stalls, SizeIs(1));
  EXPECT_THAT(stalls.front().why, HasSubstr("130 ms of them saving a checkpoint"));
}

TEST(Attribution, ASlowNetworkInsideASite) {
  const StallRow stall = stall_of({moving(tests::kActivations, {2, 3}, 0.2)}, {.tensor_parallel = 2});
  EXPECT_EQ(stall.cause, "slow_lan");
  EXPECT_EQ(stall.culprit, "host a2");
  EXPECT_EQ(stall.op, static_cast<std::int32_t>(tests::kActivations));
  EXPECT_EQ(stall.phase, "forward");
  EXPECT_GE(stall.confidence, 0.6);
}

TEST(Attribution, ASlowLinkBetweenTwoSitesIsThatPair) {
  const StallRow stall = stall_of({moving(tests::kBucket1, {}, 0.3)}, {.probes_per_s = 0.0});
  EXPECT_EQ(stall.cause, "slow_wan");
  EXPECT_EQ(stall.culprit, "A - B");
  EXPECT_EQ(stall.op, static_cast<std::int32_t>(tests::kBucket1));
  EXPECT_GE(stall.confidence, 0.7);
  EXPECT_LE(stall.confidence, 0.9);  // nothing but the transfer tells it
}

TEST(Attribution, ProbesThatSufferedConfirmTheLink) {
  SyntheticLaunch launch;
  launch.planted = {moving(tests::kBucket1, {}, 0.3)};
  Evidence evidence = make_launch(launch);
  disturb_probes(evidence, 0, 4, kStep, 0, 290'000'000);
  const std::vector<StallRow> stalls = stalls_of(evidence);
  ASSERT_THAT(stalls, SizeIs(1));
  EXPECT_EQ(stalls.front().culprit, "A - B");
  EXPECT_GE(stalls.front().confidence, 0.9);
  EXPECT_THAT(stalls.front().why, HasSubstr("longest round trip 290 ms"));
}

TEST(Attribution, ProbesTellTheWayThatIsSlow) {
  SyntheticLaunch launch;
  launch.planted = {moving(tests::kBucket1, {}, 0.3)};
  Evidence evidence = make_launch(launch);
  disturb_probes(evidence, 0, 4, kStep, 0, 290'000'000);
  const auto delay = [&evidence](std::int64_t record::ProbeRow::*way, std::int64_t extra_ns) {
    for (record::ProbeRow& probe : evidence.probes) {
      if (probe.rtt_max_ns == 290'000'000)
        probe.*way += extra_ns;
    }
  };
  delay(&record::ProbeRow::back_max_ns, 280'000'000);
  const StallRow back = stalls_of(evidence).at(0);
  EXPECT_EQ(back.culprit, "B -> A");
  EXPECT_THAT(back.why, HasSubstr("on the way B -> A alone"));
  delay(&record::ProbeRow::out_max_ns, 140'000'000);
  EXPECT_EQ(stalls_of(evidence).at(0).culprit, "A - B") << "half as slow the other way";
  delay(&record::ProbeRow::back_max_ns, -280'000'000);
  EXPECT_EQ(stalls_of(evidence).at(0).culprit, "A -> B");
}

TEST(Attribution, ClocksThatMayBeWrongByTheDelayTellNoWay) {
  SyntheticLaunch launch{.clock_bound_s = 0.15};
  launch.planted = {moving(tests::kBucket1, {}, 0.3)};
  Evidence evidence = make_launch(launch);
  disturb_probes(evidence, 0, 4, kStep, 0, 290'000'000);
  for (record::ProbeRow& probe : evidence.probes) {
    if (probe.rtt_max_ns == 290'000'000)
      probe.out_max_ns += 280'000'000;
  }
  EXPECT_EQ(stalls_of(evidence).at(0).culprit, "A - B");
}

TEST(Attribution, PacketsThatDoNotComeInTellTheWayThatLosesThem) {
  SyntheticLaunch launch;
  launch.planted = {moving(tests::kBucket1, {}, 0.3)};
  Evidence evidence = make_launch(launch);
  disturb_probes(evidence, 0, 4, kStep, 3, 12'000'000);
  EXPECT_EQ(stalls_of(evidence).at(0).culprit, "A - B");
  // The other side probes, too.
  const std::int64_t differ_ns =
      evidence.clock[0].offset_ns - evidence.clock[8].offset_ns;  // two rows a rank
  const std::size_t count = evidence.probes.size();
  for (std::size_t i = 0; i < count; ++i) {
    record::ProbeRow probe = evidence.probes[i];
    std::swap(probe.rank, probe.peer);
    probe.begin_ns += differ_ns;
    probe.end_ns += differ_ns;
    probe.received -= probe.lost;
    evidence.probes.push_back(probe);
  }
  const StallRow told = stalls_of(evidence).at(0);
  EXPECT_EQ(told.culprit, "A -> B") << "what A sent did not come in at B";
  for (record::ProbeRow& probe : evidence.probes)
    probe.received = probe.sent - probe.lost;
  EXPECT_EQ(stalls_of(evidence).at(0).culprit, "A - B") << "both lost as much";
}

TEST(Attribution, WhatAPeerThatHasDiedSendsNoMoreIsNotLost) {
  SyntheticLaunch launch;
  launch.planted = {moving(tests::kBucket1, {}, 0.3)};
  Evidence evidence = make_launch(launch);
  disturb_probes(evidence, 0, 4, kStep, 3, 12'000'000);
  const std::int64_t differ_ns = evidence.clock[0].offset_ns - evidence.clock[8].offset_ns;
  std::int64_t last_ns = 0;
  for (const record::StepRow& step : evidence.steps)
    last_ns = step.rank == 4 ? std::max(last_ns, step.end_ns) : last_ns;
  const std::size_t count = evidence.probes.size();
  for (std::size_t i = 0; i < count; ++i) {
    evidence.probes[i].received -= evidence.probes[i].lost;
    record::ProbeRow probe = evidence.probes[i];
    std::swap(probe.rank, probe.peer);
    probe.begin_ns += differ_ns;
    probe.end_ns += differ_ns;
    evidence.probes.push_back(probe);
  }
  ASSERT_EQ(stalls_of(evidence).at(0).culprit, "A - B") << "both ways lost as much";
  // B goes on asking for a while when A has died.
  record::ProbeRow alone = evidence.probes.back();
  for (int window = 0; window < 20; ++window) {
    alone.begin_ns = last_ns + window * 1'000'000'000LL - 500'000'000;
    alone.end_ns = alone.begin_ns + 1'000'000'000;
    alone.lost = alone.sent;
    alone.received = 0;
    evidence.probes.push_back(alone);
  }
  EXPECT_EQ(stalls_of(evidence).at(0).culprit, "A - B");
}

TEST(Attribution, WhatAProcessThatStoodStillDidNotAnswerIsNotLost) {
  SyntheticLaunch launch;
  launch.planted = {moving(tests::kBucket1, {}, 1.5)};
  Evidence evidence = make_launch(launch);
  disturb_probes(evidence, 0, 4, kStep, 3, 12'000'000);
  EXPECT_THAT(stalls_of(evidence).at(0).why, HasSubstr("lost"));
  // The other side sends nothing itself while it stands still.
  const std::int64_t differ_ns = evidence.clock[0].offset_ns - evidence.clock[8].offset_ns;
  const std::size_t count = evidence.probes.size();
  for (std::size_t i = 0; i < count; ++i) {
    record::ProbeRow probe = evidence.probes[i];
    std::swap(probe.rank, probe.peer);
    probe.begin_ns += differ_ns;
    probe.end_ns += differ_ns;
    if (probe.lost > 0)
      probe.sent = 1;
    probe.lost = 0;
    evidence.probes.push_back(probe);
  }
  EXPECT_THAT(stalls_of(evidence).at(0).why, HasSubstr("saw nothing unusual"));
}

TEST(Attribution, ProbesThatSawNothingSpeakAgainstTheLink) {
  const StallRow with = stall_of({moving(tests::kBucket1, {}, 0.3)});
  EXPECT_EQ(with.cause, "slow_wan");
  EXPECT_LE(with.confidence, 0.65);
  EXPECT_THAT(with.why, HasSubstr("probes between the sites saw nothing"));
}

const std::vector<tests::SyntheticHost> kThreeSites = {{"A", "a1", 2}, {"B", "b1", 2}, {"C", "c1", 2}};

TEST(Attribution, OfThreeSitesTheProbesTellThePair) {
  SyntheticLaunch launch{.hosts = kThreeSites};
  launch.planted = {moving(tests::kBucket0, {}, 0.3)};
  Evidence evidence = make_launch(launch);
  const std::vector<StallRow> blind = stalls_of(evidence);
  ASSERT_THAT(blind, SizeIs(1));
  EXPECT_EQ(blind.front().culprit, "A, B, C");
  EXPECT_LE(blind.front().confidence, 0.6);

  disturb_probes(evidence, 2, 4, kStep, 3, 12'000'000);
  const std::vector<StallRow> told = stalls_of(evidence);
  EXPECT_EQ(told.front().cause, "slow_wan");
  EXPECT_EQ(told.front().culprit, "B - C");
  EXPECT_GE(told.front().confidence, 0.9);
  EXPECT_THAT(told.front().why, HasSubstr("probes B - C in that time: 6 of 8 lost"));

  disturb_probes(evidence, 0, 4, kStep, 3, 12'000'000);
  EXPECT_EQ(stalls_of(evidence).front().culprit, "site C");
}

TEST(Attribution, ATransportThreadThatSlept) {
  const Planted late{What::launch, kStep, tests::kBucket0, {3}, 0.2};
  const StallRow clocked = stall_of({late});
  EXPECT_EQ(clocked.cause, "late_launch");
  EXPECT_EQ(clocked.culprit, "rank 3 on a2");
  EXPECT_EQ(clocked.op, static_cast<std::int32_t>(tests::kBucket0));
  EXPECT_GE(clocked.confidence, 0.7);
  const StallRow blind = stall_of({late}, {.clocks = false});
  EXPECT_EQ(blind.cause, "late_launch");
  EXPECT_EQ(blind.culprit, "rank 3 on a2");
  EXPECT_LT(blind.confidence, clocked.confidence);
}

TEST(Attribution, TheStampsOfAllOpsShowTheLateEntry) {
  const StallRow stall = stall_of({{What::launch, kStampedStep, tests::kBucket0, {3}, 0.2}});
  EXPECT_EQ(stall.cause, "late_launch");
  EXPECT_GE(stall.confidence, 0.9);
  EXPECT_THAT(stall.why, HasSubstr("a late begin of bucket0.all_reduce on rank 3"));
}

TEST(Attribution, ARankThatWasStoppedWithinATransferIsNoSlowLink) {
  const StallRow stall =
      stall_of({{What::work, kStep, tests::kBackward2, {4}, 0.3}, moving(tests::kBucket0, {}, 0.3)});
  EXPECT_EQ(stall.cause, "slow_compute");
  EXPECT_EQ(stall.culprit, "rank 4 on b1");
  EXPECT_LE(stall.confidence, 0.9);
}

TEST(Attribution, TwoCausesOfTheSameSizeAreToldAndNotDecided) {
  // One after the other: each is about half of it.
  const StallRow stall =
      stall_of({{What::work, kStep, tests::kForward, {6}, 0.2}, moving(tests::kBucket1, {}, 0.19)});
  EXPECT_LE(stall.confidence, 0.4);
  EXPECT_THAT(stall.why, HasSubstr("explains about as much"));
}

TEST(Attribution, SavingACheckpointIsNoPartOfAStall) {
  SyntheticLaunch launch{.probes_per_s = 0.0};
  launch.planted = {{What::pause, kStep, 0, {}, 0.25}, moving(tests::kBucket1, {}, 0.3)};
  Evidence evidence = make_launch(launch);
  EXPECT_LE(stalls_of(evidence).at(0).confidence, 0.4)
      << "a pause that nobody accounts for, and a slow transfer";
  for (std::uint32_t rank = 0; rank < 8; ++rank)
    evidence.checkpoints.push_back(
        {.leg = 0, .rank = rank, .action = "save", .step = kStep, .begin_ns = 0, .end_ns = 250'000'000});
  const StallRow stall = stalls_of(evidence).at(0);
  EXPECT_EQ(stall.cause, "slow_wan");
  EXPECT_GE(stall.confidence, 0.7);
}

TEST(Attribution, RanksThatStandStillTogetherBetweenStepsWaitForALinkIfProbesSaySo) {
  SyntheticLaunch launch;
  launch.planted = {{What::pause, kStep, 0, {}, 1.5}};
  Evidence evidence = make_launch(launch);
  const std::vector<StallRow> blind = stalls_of(evidence);
  ASSERT_THAT(blind, SizeIs(1));
  EXPECT_EQ(blind.front().cause, "unknown");
  EXPECT_THAT(blind.front().why, HasSubstr("all 8 ranks stood still together between two steps for 1.5"));
  EXPECT_GE(blind.front().length_ns, 1'500'000'000);
  const auto begins =
      std::find_if(evidence.steps.begin(), evidence.steps.end(),
                   [](const record::StepRow& row) { return row.rank == 0 && row.step == kStep; });
  for (record::ProbeRow& probe : evidence.probes) {
    const std::int64_t to_begin_ns = begins->begin_ns - probe.end_ns;
    if (to_begin_ns > 0 && to_begin_ns < 1'000'000'000)  // wholly before the step
      probe.lost = probe.sent;
  }
  const StallRow told = stalls_of(evidence).at(0);
  EXPECT_EQ(told.cause, "slow_wan");
  EXPECT_EQ(told.culprit, "A - B");
  EXPECT_THAT(told.why, HasSubstr("probes A - B in that time"));
}

TEST(Attribution, RanksWithoutAHostInCommonAreBlamedWithLessConfidence) {
  const StallRow stall = stall_of({work({1, 4}, 0.2)});
  EXPECT_EQ(stall.culprit, "ranks 1, 4");
  EXPECT_LE(stall.confidence, 0.6);
}

TEST(Attribution, WhenRanksLeaveATransferApartTheClockKeepsAnInnocentRankOutOfIt) {
  SyntheticLaunch launch{.probes_per_s = 0.0};
  launch.planted = {moving(tests::kBucket1, {}, 0.3)};
  Evidence evidence = make_launch(launch);
  // Rank 2 had what it needed early; so it spent the shortest time in it, as if it had come last.
  for (record::CommRow& row : evidence.comms) {
    if (row.step != kStep || row.op != tests::kBucket1)
      continue;
    if (row.rank == 2) {
      row.end_ns -= 295'000'000;
      row.wait_ns = 0;
    } else {
      row.wait_ns += 295'000'000;
    }
  }
  const std::vector<StallRow> clocked = stalls_of(evidence);
  ASSERT_THAT(clocked, SizeIs(1));
  EXPECT_EQ(clocked.front().cause, "slow_wan");
  EXPECT_EQ(clocked.front().culprit, "A - B");
  EXPECT_GE(clocked.front().confidence, 0.6);
  EXPECT_LE(clocked.front().confidence, 0.75);

  // Of a launch that broke off there is no second measurement; in so short a time no clock drifts that far.
  std::vector<record::ClockRow> first;
  for (std::size_t i = 0; i < evidence.clock.size(); i += 2)
    first.push_back(evidence.clock[i]);
  Evidence broken_off = evidence;
  broken_off.clock = first;
  EXPECT_EQ(stalls_of(broken_off).at(0).culprit, "A - B");
  for (record::StepRow& row : broken_off.steps) {  // ten minutes before the others
    if (row.step == 0)
      row.begin_ns -= 600'000'000'000;
  }
  EXPECT_LE(stalls_of(broken_off).at(0).confidence, 0.6);

  // A clock that is wrong by more than the stall is not asked, and what remains is not trusted.
  for (record::ClockRow& row : evidence.clock)
    row.bound_ns = 400'000'000;
  const std::vector<StallRow> vague = stalls_of(evidence);
  ASSERT_THAT(vague, SizeIs(1));
  EXPECT_LE(vague.front().confidence, 0.6);
}

TEST(Attribution, ClocksThatContradictTheTimesLowerConfidence) {
  SyntheticLaunch launch;
  launch.planted = {{What::pause, kStep, 0, {6}, 0.15}};
  Evidence evidence = make_launch(launch);
  EXPECT_GE(stalls_of(evidence).front().confidence, 0.8);
  // By its clock rank 6, which all others waited for, came as early as they did.
  for (record::CommRow& row : evidence.comms)
    if (row.rank == 6 && row.step == kStep) {
      row.begin_ns -= 150'000'000;
      row.end_ns -= 150'000'000;
    }
  const StallRow stall = stalls_of(evidence).front();
  EXPECT_LE(stall.confidence, 0.4);
  EXPECT_THAT(stall.why, HasSubstr("without the clocks it looks like slow_host of rank 6 on b2"));
}

TEST(Attribution, NoiseBlamesNobody) {
  // Every op of every rank varies by a third: steps are long because of many small things.
  const Evidence evidence = make_launch({.steps = 300, .noise = 0.35});
  const LaunchView view = view_of(evidence, 0);
  // A rule so strict that ordinary noise is called a stall.
  const std::vector<StallRow> stalls =
      attribute_stalls(view, {.mad_multiple = 1.5, .relative_floor = 0.05, .absolute_floor_s = 1e-4});
  ASSERT_GT(stalls.size(), 5U);
  for (const StallRow& stall : stalls)
    EXPECT_LE(stall.confidence, 0.5) << stall.step << ": " << stall.cause << ", " << stall.culprit << ", "
                                     << stall.why;
}

TEST(Attribution, AnEvenLaunchHasNoStalls) {
  EXPECT_THAT(stalls_of(make_launch({})), IsEmpty());
}

TEST(Attribution, WhatNothingExplainsIsUnknown) {
  Evidence evidence = make_launch({});
  for (record::StepRow& row : evidence.steps)
    if (row.step == kStep) {  // longer, by nothing that was measured
      row.end_ns += 200'000'000;
      row.exposed_ns += 200'000'000;
    }
  const std::vector<StallRow> stalls = stalls_of(evidence);
  ASSERT_THAT(stalls, SizeIs(1));
  EXPECT_EQ(stalls.front().cause, "unknown");
  EXPECT_EQ(stalls.front().culprit, "");
  EXPECT_EQ(stalls.front().confidence, 0.0);
  EXPECT_THAT(stalls.front().why, Not(IsEmpty()));
}

TEST(Attribution, FewStepsAreALittleEvidence) {
  const StallRow few = stall_of({work({5}, 0.2, 5)}, {.steps = 7, .stamped_steps = 0});
  EXPECT_EQ(few.culprit, "rank 5 on b1");
  EXPECT_LE(few.confidence, 0.6);
}

TEST(Attribution, StepsThatSomeRankDidNotCompleteAreNotJudged) {
  Evidence evidence = make_launch({.planted = {work({5}, 0.2)}});
  std::erase_if(evidence.steps,
                [](const record::StepRow& row) { return row.step == kStep && row.rank == 2; });
  EXPECT_THAT(stalls_of(evidence), IsEmpty());
}

TEST(Attribution, ARankAloneNeedsNobodyThatWaits) {
  const StallRow stall = stall_of({work({0}, 0.2)}, {.hosts = {{"A", "a1", 1}}});
  EXPECT_EQ(stall.cause, "slow_compute");
  EXPECT_EQ(stall.culprit, "rank 0 on a1");
}

/// The one stall of a launch on cards, of which those of these ranks were throttled in that step.
StallRow stall_on_cards(const Planted& planted, const std::vector<std::uint32_t>& throttled,
                        std::uint32_t step, std::int64_t bits) {
  SyntheticLaunch launch;
  launch.planted = {planted};
  Evidence evidence = make_launch(launch);
  tests::add_cards(evidence, 0);
  for (const std::uint32_t rank : throttled)
    tests::throttle(evidence, 0, rank, step, step, bits);
  const std::vector<StallRow> stalls = stalls_of(evidence);
  EXPECT_THAT(stalls, SizeIs(1));
  return stalls.empty() ? StallRow{} : stalls.front();
}

TEST(Attribution, ACardThatWasThrottlingIsWhyItsRankComputedLonger) {
  const StallRow plain = stall_of({work({4}, 0.2)});
  const StallRow hot = stall_on_cards(work({4}, 0.2), {4}, kStep, kThrottleHeatHardware);
  EXPECT_EQ(hot.cause, "slow_compute");
  EXPECT_EQ(hot.culprit, "rank 4 on b1");
  EXPECT_GT(hot.confidence, plain.confidence);
  EXPECT_THAT(hot.why, HasSubstr("its card H200, serial 16504 was throttling: heat (hardware)"));
}

TEST(Attribution, AThrottleElsewhereOrAtAnotherTimeProvesNothing) {
  const StallRow plain = stall_of({work({4}, 0.2)});
  for (const StallRow& stall : {stall_on_cards(work({4}, 0.2), {3}, kStep, kThrottleHeatHardware),
                                stall_on_cards(work({4}, 0.2), {4}, kStep + 5, kThrottleHeatHardware),
                                stall_on_cards(work({4}, 0.2), {4}, kStep, kThrottlePowerCap)}) {
    EXPECT_EQ(stall.confidence, plain.confidence);
    EXPECT_THAT(stall.why, Not(HasSubstr("throttling")));
  }
}

TEST(Attribution, AThrottleDoesNotMakeALinkARank) {
  const StallRow stall = stall_on_cards(moving(tests::kBucket1, {}, 0.3), {2}, kStep, kThrottlePowerBrake);
  EXPECT_EQ(stall.cause, "slow_wan");
  EXPECT_THAT(stall.why, Not(HasSubstr("throttling")));
}

TEST(Attribution, CardsThatThrottleTogetherAreToldTogether) {
  const StallRow stall = stall_on_cards(work({4, 5}, 0.2), {4, 5}, kStep, kThrottlePowerBrake);
  EXPECT_EQ(stall.culprit, "host b1");
  EXPECT_THAT(stall.why, HasSubstr("2 of 2 were throttling (card H200, serial 16504): power brake"));
}

}  // namespace
}  // namespace lockstep::watch
