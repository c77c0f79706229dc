#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "harness/certify/certificate.hpp"
#include "harness/certify/incidents.hpp"
#include "tests/certify/synthetic_evidence.hpp"

namespace lockstep::certify {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using tests::Scenario;

/// Joint launch of the last round: rank 3 enters the reduction of step 40 and nobody completes it; rank 0
/// never does.
record::Evidence hung_joint(const Scenario& scenario) {
  record::Evidence evidence = tests::make_evidence(scenario, tests::make_plan(scenario));
  const std::uint32_t leg = tests::launch_of(evidence, "joint", 3);
  std::erase_if(evidence.steps, [leg](const auto& row) { return row.leg == leg && row.step >= 40; });
  std::erase_if(evidence.comms, [leg](const auto& row) {
    return row.leg == leg && (row.step > 40 || (row.step == 40 && row.rank == 0));
  });
  for (record::CommRow& row : evidence.comms)
    if (row.leg == leg && row.step == 40)
      row.end_ns = row.wait_ns = 0;
  for (record::RankRow& row : evidence.ranks)
    if (row.leg == leg)
      row.state = "partial";
  for (record::LegEndRow& row : evidence.leg_ends)
    if (row.leg == leg) {
      row.outcome = "failed";
      row.complete_journals = 0;
    }
  for (std::int32_t rank = 1; rank < 4; ++rank) {
    record::FailureRow failure;
    failure.leg = leg;
    failure.rank = rank;
    failure.step = 40;
    failure.op = 1;
    failure.kind = "deadline";
    failure.utc_ns = 1'790'000'500'000'000'000;
    failure.message = "bucket0.all_reduce of step 40 was not complete after its deadline of 30 s";
    evidence.failures.push_back(failure);
  }
  return evidence;
}

TEST(CertifiedIncidents, AreWorkedOutWhereTheRunFileHasNone) {
  const record::Evidence evidence = hung_joint({});
  const std::vector<record::IncidentRow> found = collect_incidents(evidence);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].leg, tests::launch_of(evidence, "joint", 3));
  EXPECT_EQ(found[0].kind, "hang");
  EXPECT_EQ(found[0].culprit, "rank 0 on host-A");
  EXPECT_EQ(found[0].step, 40);
  EXPECT_EQ(joint_incident(evidence, found), &found[0]);
}

TEST(CertifiedIncidents, OfTheRunFileAreTakenAsTheyAre) {
  record::Evidence evidence = hung_joint({});
  record::IncidentRow told;
  told.leg = tests::launch_of(evidence, "joint", 3);
  told.incident = 4;
  told.kind = "rank_killed";
  told.culprit = "rank 0 on host-A";
  evidence.incidents = {told};
  EXPECT_EQ(collect_incidents(evidence), evidence.incidents);
  // Another launch that went wrong is still looked at, and numbered after it.
  record::FailureRow failure;
  failure.leg = tests::launch_of(evidence, "A", 0);
  failure.rank = 1;
  failure.kind = "checksum_mismatch";
  evidence.failures.push_back(failure);
  const std::vector<record::IncidentRow> both = collect_incidents(evidence);
  ASSERT_EQ(both.size(), 2U);
  EXPECT_EQ(both[0].kind, "wrong_data");
  EXPECT_EQ(both[0].incident, 5U);
  EXPECT_EQ(joint_incident(evidence, both), &both[1]);
}

TEST(CertifiedIncidents, AGoodRunHasNone) {
  EXPECT_THAT(collect_incidents(tests::make_evidence({}, tests::make_plan({}))), IsEmpty());
}

TEST(CertifiedIncidents, TheVerdictNamesTheCulpritAndWhatToDo) {
  const Scenario scenario;
  const Certificate certificate = make_certificate(hung_joint(scenario), tests::make_plan(scenario), "sha");
  EXPECT_EQ(certificate.grade, plan::Grade::d);
  EXPECT_THAT(certificate.reasons, Contains(HasSubstr("hang, rank 0 on host-A (confidence 0.85): ")));
  EXPECT_THAT(certificate.advice, Contains(HasSubstr("the incident of rank 0 on host-A")));
  const auto json = nlohmann::json::parse(serialize(certificate));
  ASSERT_EQ(json["incidents"].size(), 1U);
  EXPECT_EQ(json["incidents"][0]["kind"], "hang");
  EXPECT_EQ(json["incidents"][0]["culprit"], "rank 0 on host-A");
  EXPECT_EQ(json["incidents"][0]["steps_lost"], 40);
}

}  // namespace
}  // namespace lockstep::certify
