#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "harness/core/error.hpp"
#include "harness/report/summary.hpp"
#include "tests/app/synthetic_run.hpp"

namespace lockstep::report {
namespace {

using testing::HasSubstr;

TEST(Summary, StepTimesAreThoseOfTheRun) {
  const RunSummary summary = summarize_run(app::synthetic_evidence(), "run.h5", std::nullopt);
  ASSERT_EQ(summary.launches.size(), 6U);
  EXPECT_EQ(summary.launches[0].step_s.count, 110U);
  EXPECT_NEAR(summary.launches[0].step_s.p50, 10e-3, 1e-9);
  EXPECT_NEAR(summary.launches[2].step_s.p50, 10.2e-3, 1e-9);
  EXPECT_EQ(summary.launches[0].warmup_steps, 5U);
  EXPECT_EQ(summary.launches[0].partial_steps, 0U);
  EXPECT_NEAR(summary.launches[0].exposed_share, 0.01, 1e-9);
}

TEST(Summary, CommunicationFollowsTheConventions) {
  const RunSummary summary = summarize_run(app::synthetic_evidence(), "run.h5", std::nullopt);
  ASSERT_EQ(summary.comms.size(), 3U);  // one size for each leg, its rounds together
  const CommSummary& alone = summary.comms[0];
  EXPECT_EQ(alone.time_s.count, 220U);
  EXPECT_NEAR(alone.time_s.p50, 1e-3, 1e-9) << "waiting for the last rank is no transfer";
  EXPECT_NEAR(alone.wait_p50_s, 10e-6, 1e-9);
  EXPECT_NEAR(alone.algbw, 1048576 / 1e-3, 1.0);
  EXPECT_NEAR(alone.busbw, alone.algbw * 1.0, 1.0);
  EXPECT_FALSE(alone.cutbw.has_value());
  const CommSummary& joint = summary.comms[2];
  EXPECT_EQ(joint.leg, "joint");
  EXPECT_EQ(joint.sites, 2U);
  EXPECT_NEAR(joint.busbw, joint.algbw * 1.5, 1.0);
  ASSERT_TRUE(joint.cutbw.has_value());
  EXPECT_NEAR(*joint.cutbw, joint.algbw * 1.0, 1.0);
  EXPECT_EQ(joint.count, 262144U);
}

TEST(Summary, AStepThatARankDidNotCompleteIsCountedAndNotTimed) {
  record::Evidence evidence = app::synthetic_evidence();
  for (record::StepRow& row : evidence.steps) {
    if (row.leg == 0 && row.rank == 1 && row.step == 114)
      row.end_ns = 0;
  }
  const RunSummary summary = summarize_run(evidence, "run.h5", 0U);
  ASSERT_EQ(summary.launches.size(), 1U);
  EXPECT_EQ(summary.launches[0].step_s.count, 109U);
  EXPECT_EQ(summary.launches[0].partial_steps, 1U);
}

TEST(Summary, TailsAreRefusedBelowTheirSampleCount) {
  record::Evidence evidence = app::synthetic_evidence();
  std::erase_if(evidence.steps, [](const record::StepRow& row) { return row.step >= 5 + 99; });
  const RunSummary summary = summarize_run(evidence, "run.h5", std::nullopt);
  EXPECT_TRUE(summary.launches[0].step_s.p95.has_value());
  EXPECT_FALSE(summary.launches[0].step_s.p99.has_value());
  EXPECT_THAT(summary_text(summary, {}), HasSubstr("n=99"));
}

TEST(Summary, WrongValuesAreCountedAtTheirOperation) {
  const RunSummary summary =
      summarize_run(app::synthetic_evidence({.with_stall_and_failure = true}), "run.h5", std::nullopt);
  EXPECT_EQ(summary.comms[0].wrong, 0U);
  EXPECT_EQ(summary.comms[2].wrong, 1U);
  ASSERT_EQ(summary.worst_stalls.size(), 1U);
  EXPECT_THAT(summary_text(summary, {}), HasSubstr("rank 3, step 61, op 1: element 77 is 3.5"));
}

TEST(Summary, OneLaunchCanBeChosenAndMustExist) {
  const record::Evidence evidence = app::synthetic_evidence();
  EXPECT_EQ(summarize_run(evidence, "run.h5", 3U).launches[0].planned.leg, 3U);
  EXPECT_THROW(static_cast<void>(summarize_run(evidence, "run.h5", 6U)), InputError);
}

TEST(Summary, AnEmptyRunIsShownToo) {
  record::Evidence evidence;
  EXPECT_THAT(summary_text(summarize_run(evidence, "run.h5", std::nullopt), {}), HasSubstr("Failures: none"));
}

TEST(Summary, JsonHoldsTheFieldsNames) {
  const auto document =
      nlohmann::json::parse(summary_json(summarize_run(app::synthetic_evidence(), "run.h5", std::nullopt)));
  const auto& comm = document["communication"][2];
  for (const char* key : {"size", "count", "type", "redop", "algbw", "busbw", "#wrong"})
    EXPECT_TRUE(comm.contains(key)) << key;
  EXPECT_NEAR(document["launches"][0]["step_time"]["p50_us"].get<double>(), 10000.0, 1e-3);
}

}  // namespace
}  // namespace lockstep::report
