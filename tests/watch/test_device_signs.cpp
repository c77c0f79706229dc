#include <csignal>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "harness/watch/incidents.hpp"
#include "tests/watch/synthetic_health.hpp"
#include "tests/watch/synthetic_launch.hpp"

namespace lockstep::watch {
namespace {

using record::Evidence;
using record::HealthRow;
using record::IncidentRow;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

constexpr std::uint32_t kStep = 20;
constexpr std::uint32_t kLast = 41;  // two of them warm-up

Evidence with_cards(tests::SyntheticLaunch launch = {}) {
  Evidence evidence = tests::make_launch(launch);
  tests::add_cards(evidence, 0);
  return evidence;
}

std::vector<IncidentRow> incidents_of(const Evidence& evidence, const LaunchFacts& facts = {}) {
  return find_incidents(view_of(evidence, 0), facts);
}

/// A counter of the rank's card from that step on.
template <class Value>
void from_step(Evidence& evidence, std::uint32_t rank, std::uint32_t first, Value HealthRow::*column,
               Value value, std::uint32_t last = kLast) {
  for (std::uint32_t step = first; step <= last; ++step)
    tests::health_at(evidence, 0, rank, step).*column = value;
}

TEST(DeviceErrors, SoundCardsHaveNone) {
  EXPECT_THAT(incidents_of(with_cards()), IsEmpty()) << "old errors are none of this launch's";
}

TEST(DeviceErrors, NewUncorrectedErrorsNameTheCard) {
  Evidence evidence = with_cards();
  from_step<std::int64_t>(evidence, 5, kStep, &HealthRow::ecc_uncorrected, 3);
  const std::vector<IncidentRow> found = incidents_of(evidence);
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_EQ(found[0].kind, "device_error");
  EXPECT_EQ(found[0].culprit, "rank 5 on b1");
  EXPECT_EQ(found[0].step, static_cast<std::int32_t>(kStep));
  EXPECT_GE(found[0].confidence, 0.9);
  EXPECT_EQ(found[0].cause,
            "card H200, serial 16505 of rank 5 on b1 told of 2 new uncorrected memory errors");
  EXPECT_THAT(found[0].story, HasSubstr("serial 16505"));
  EXPECT_GT(found[0].began_utc_ns, tests::kSyntheticUtcNs);
  EXPECT_EQ(found[0].detected_utc_ns, found[0].began_utc_ns);
  EXPECT_EQ(found[0].ranks_hit, 1U);
  EXPECT_EQ(found[0].steps_lost, 0U);
}

TEST(DeviceErrors, ACounterThatBeginsAnewCountsFromThere) {
  Evidence evidence = with_cards();
  from_step<std::int64_t>(evidence, 5, kStep, &HealthRow::ecc_uncorrected, 0);
  EXPECT_THAT(incidents_of(evidence), IsEmpty());
  from_step<std::int64_t>(evidence, 5, kStep + 5, &HealthRow::ecc_uncorrected, 1);
  ASSERT_THAT(incidents_of(evidence), SizeIs(1));
  EXPECT_THAT(incidents_of(evidence)[0].cause, HasSubstr("1 new uncorrected memory error"));
}

TEST(DeviceErrors, ASilenceInBetweenLosesNothing) {
  Evidence evidence = with_cards();
  from_step<std::int64_t>(evidence, 5, kStep, &HealthRow::ecc_uncorrected, -1, kStep + 3);
  EXPECT_THAT(incidents_of(evidence), IsEmpty());
  from_step<std::int64_t>(evidence, 5, kStep + 4, &HealthRow::ecc_uncorrected, 2);
  EXPECT_THAT(incidents_of(evidence), SizeIs(1));
}

TEST(DeviceErrors, AllSignsOfOneCardAreOneIncident) {
  Evidence evidence = with_cards();
  from_step<std::int64_t>(evidence, 2, kStep, &HealthRow::ecc_uncorrected, 2);
  from_step<std::int32_t>(evidence, 2, kStep + 1, &HealthRow::remap_failed, 1);
  tests::health_at(evidence, 0, 2, kStep).xid = 94;
  tests::health_at(evidence, 0, 2, kStep + 1).xid = 64;
  tests::health_at(evidence, 0, 7, kStep).xid = 999;
  const std::vector<IncidentRow> found = incidents_of(evidence);
  ASSERT_THAT(found, SizeIs(2));
  EXPECT_EQ(found[0].culprit, "rank 2 on a2");
  EXPECT_THAT(
      found[0].cause,
      HasSubstr(
          "1 new uncorrected memory error, Xid 64 (memory row could not be remapped), Xid 94 (contained "
          "memory error), a memory row that could not be remapped"));
  EXPECT_EQ(found[1].culprit, "rank 7 on b2");
  EXPECT_THAT(found[1].cause, HasSubstr("Xid 999"));
}

TEST(DeviceErrors, AProgramsOwnFaultIsNoSureSign) {
  Evidence evidence = with_cards();
  tests::health_at(evidence, 0, 5, kStep).xid = 13;
  const std::vector<IncidentRow> found = incidents_of(evidence);
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_LE(found[0].confidence, 0.5);
  EXPECT_THAT(found[0].cause, HasSubstr("a program's own fault"));
}

TEST(DeviceErrors, MemoryErrorsOfAHostAreItsOwn) {
  Evidence evidence = tests::make_launch({});
  tests::add_processors(evidence, 0, "a2");
  from_step<std::int64_t>(evidence, 2, kStep, &HealthRow::ecc_uncorrected, 2);
  const std::vector<IncidentRow> found = incidents_of(evidence);
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_EQ(found[0].culprit, "host a2");
  EXPECT_THAT(found[0].cause, HasSubstr("processors of host a2 (Xeon)"));
}

TEST(DeviceErrors, ARowThatHadFailedBeforeIsNoNews) {
  Evidence evidence = with_cards();
  for (HealthRow& row : evidence.health)
    row.remap_failed = 1;
  EXPECT_THAT(incidents_of(evidence), IsEmpty());
}

/// Rank 4 never ends its computing of a step; its card had told of an error.
Evidence hung_on_a_broken_card(std::int64_t xid) {
  tests::SyntheticLaunch launch;
  launch.planted = {{tests::Planted::What::work, kStep, tests::kBackward, {4}, tests::kForever}};
  Evidence evidence = with_cards(launch);
  tests::health_at(evidence, 0, 4, kStep - 1).xid = xid;
  return evidence;
}

TEST(DeviceErrors, ACardThatFailedUnderTheRankThatHungIsTheCause) {
  const std::vector<IncidentRow> found = incidents_of(hung_on_a_broken_card(79));
  ASSERT_THAT(found, SizeIs(1)) << "one cause, one row";
  EXPECT_EQ(found[0].kind, "device_error");
  EXPECT_EQ(found[0].culprit, "rank 4 on b1");
  EXPECT_THAT(found[0].cause,
              HasSubstr("Xid 79 (card has fallen off the bus); then rank 4 on b1 did not go on"));
  EXPECT_EQ(found[0].steps_lost, kStep);
  EXPECT_GE(found[0].confidence, 0.9);
}

TEST(DeviceErrors, AnUnsureSignLeavesTheHangAHang) {
  const std::vector<IncidentRow> found = incidents_of(hung_on_a_broken_card(31));
  ASSERT_THAT(found, SizeIs(2));
  EXPECT_EQ(found[0].kind, "hang");
  EXPECT_EQ(found[1].kind, "device_error");
}

TEST(DeviceErrors, AnotherRanksCardIsNotTheCause) {
  Evidence evidence = hung_on_a_broken_card(0);
  tests::health_at(evidence, 0, 1, kStep - 1).xid = 94;
  const std::vector<IncidentRow> found = incidents_of(evidence);
  ASSERT_THAT(found, SizeIs(2));
  EXPECT_EQ(found[0].kind, "hang");
  EXPECT_EQ(found[0].culprit, "rank 4 on b1");
  EXPECT_EQ(found[1].kind, "device_error");
  EXPECT_EQ(found[1].culprit, "rank 1 on a1");
}

record::FailureRow wrong_result(std::int32_t rank, std::int32_t step, std::int64_t utc_ns) {
  record::FailureRow failure;
  failure.rank = rank;
  failure.step = step;
  failure.op = tests::kBackward;
  failure.kind = "checksum";
  failure.utc_ns = utc_ns;
  failure.message = "backward of step " + std::to_string(step) + " failed its checksum in column 17";
  return failure;
}

TEST(SilentCorruption, NamesTheCardThatComputedWrongly) {
  Evidence evidence = with_cards();
  const std::int64_t utc_ns = tests::kSyntheticUtcNs + 1'000'000'000;
  evidence.failures = {wrong_result(5, 25, utc_ns + 9), wrong_result(5, 21, utc_ns),
                       wrong_result(1, 30, utc_ns + 20)};
  const std::vector<IncidentRow> found = incidents_of(evidence);
  ASSERT_THAT(found, SizeIs(2)) << "each card is a cause of its own";
  EXPECT_EQ(found[0].kind, "silent_data_corruption");
  EXPECT_EQ(found[0].culprit, "rank 1 on a1");
  EXPECT_THAT(found[0].cause,
              HasSubstr("1 result computed by rank 1 on a1 failed its checksum: card H200, serial 16501"));
  EXPECT_EQ(found[1].culprit, "rank 5 on b1");
  EXPECT_THAT(found[1].cause,
              HasSubstr("2 results computed by rank 5 on b1 failed their checksums: card H200, serial "
                        "16505"));
  EXPECT_EQ(found[1].step, 21);
  EXPECT_EQ(found[1].op, static_cast<std::int32_t>(tests::kBackward));
  EXPECT_EQ(found[1].began_utc_ns, utc_ns);
  EXPECT_THAT(found[1].first_symptom, HasSubstr("step 21"));
  EXPECT_EQ(found[1].steps_lost, 0U);
  EXPECT_TRUE(spoils_only(found[1].kind));
}

TEST(SilentCorruption, IsTakenForTheRankWhereNobodyWatchesDevices) {
  Evidence evidence = tests::make_launch({});
  evidence.failures = {wrong_result(5, 25, 1)};
  const std::vector<IncidentRow> found = incidents_of(evidence);
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_EQ(found[0].culprit, "rank 5 on b1");
  EXPECT_THAT(found[0].cause, Not(HasSubstr("card")));
  evidence.failures = {wrong_result(-1, 25, 1), wrong_result(77, 25, 1)};
  for (const IncidentRow& row : incidents_of(evidence)) {
    EXPECT_EQ(row.culprit, "");
    EXPECT_LE(row.confidence, 0.5);
  }
}

}  // namespace
}  // namespace lockstep::watch
