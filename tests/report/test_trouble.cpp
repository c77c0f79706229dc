#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "harness/report/summary.hpp"
#include "harness/report/trouble.hpp"
#include "tests/app/synthetic_run.hpp"

namespace lockstep::report {
namespace {

using testing::HasSubstr;
using testing::Not;

record::StallRow a_stall() {
  return {.leg = 3,
          .step = 60,
          .rank = 2,
          .length_ns = 55'000'000,
          .median_ns = 10'000'000,
          .op = 1,
          .phase = "backward",
          .cause = "slow_wan",
          .culprit = "A - B",
          .confidence = 0.8,
          .why = "it moved for 45 ms"};
}

TEST(Trouble, AStallIsToldWithCauseCulpritConfidenceAndWhy) {
  const std::string text = stall_lines({a_stall()}, {.width = 400});
  EXPECT_EQ(text,
            "  - launch 3, step 60: 55.0 ms (median 10.0 ms), longest on rank 2; slow between sites, A - B "
            "(confidence 0.80): it moved for 45 ms\n");
  const auto json = stall_json(a_stall());
  EXPECT_EQ(json["cause"], "slow_wan");
  EXPECT_EQ(json["culprit"], "A - B");
  EXPECT_EQ(json["confidence"], 0.8);
}

TEST(Trouble, AnUnknownCauseClaimsNothing) {
  record::StallRow stall = a_stall();
  stall.cause = "unknown";
  stall.culprit.clear();
  stall.confidence = 0.0;
  const std::string text = stall_lines({stall}, {.width = 400});
  EXPECT_THAT(text, HasSubstr("cause unknown: it moved"));
  EXPECT_THAT(text, Not(HasSubstr("confidence")));
}

TEST(Trouble, AnIncidentIsToldWithWhatFollowed) {
  record::IncidentRow row;
  row.leg = 2;
  row.kind = "rank_killed";
  row.culprit = "rank 4 on b1";
  row.confidence = 0.95;
  row.story = "It was killed.";
  row.recovery = "spare";
  row.recovery_detail = "b1 went, b3 came";
  EXPECT_EQ(
      incident_lines({row}, {.width = 400}),
      "  - launch 2: rank killed, rank 4 on b1 (confidence 0.95). It was killed. Then: spare, b1 went, b3 "
      "came.\n");
  EXPECT_EQ(incident_json(row)["kind"], "rank_killed");
}

TEST(Trouble, CausesAreWorkedOutWhereTheRunFileHasNone) {
  record::Evidence evidence = app::synthetic_evidence({.with_stall_and_failure = true});
  const RunSummary before = summarize_run(evidence, "run.h5", std::nullopt);
  ASSERT_EQ(before.worst_stalls.size(), 1U);
  EXPECT_EQ(before.worst_stalls[0].cause, "unknown");
  evidence.stalls[0].cause = "slow_host";  // told by the run: left as it is
  evidence.stalls[0].culprit = "host node01";
  const RunSummary told = summarize_run(evidence, "run.h5", std::nullopt);
  EXPECT_EQ(told.worst_stalls[0].culprit, "host node01");
  ASSERT_EQ(told.incidents.size(), 1U);
  EXPECT_EQ(told.incidents[0].kind, "wrong_data");
}

}  // namespace
}  // namespace lockstep::report
