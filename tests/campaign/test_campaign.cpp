#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include "harness/campaign/campaign.hpp"
#include "harness/core/clock.hpp"
#include "harness/core/error.hpp"
#include "harness/record/checkpoint.hpp"
#include "harness/record/run_file.hpp"
#include "tests/campaign/campaign_fixture.hpp"

namespace lockstep::campaign {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST_F(CampaignTest, EveryLegRunsInOrderAndItsEvidenceIsMerged) {
  std::vector<std::string> told;
  const plan::Plan plan = colocated_plan();
  const Result result = run(plan, [&](const Progress& progress) {
    if (progress.moment == Progress::Moment::ended)
      told.push_back(progress.leg + " " + progress.outcome);
  });
  EXPECT_EQ(result.ending, Ending::finished);
  EXPECT_TRUE(result.evidence_is_whole);
  EXPECT_EQ(result.message, "");
  const auto found = evidence();
  EXPECT_THAT(outcomes(found), ElementsAre("A completed", "B completed", "joint completed", "joint completed",
                                           "B completed", "A completed"));
  EXPECT_EQ(told, outcomes(found));
  EXPECT_EQ(found.plan_text, plan.text);
  // 12 steps on 2 + 2 + 4 ranks, twice.
  EXPECT_EQ(found.steps.size(), 12U * 8 * 2);
  EXPECT_TRUE(found.failures.empty());
  EXPECT_TRUE(std::filesystem::exists(folder_->path() + "/logs/leg-002-joint-r0-a0.log"));
  const auto command = std::find_if(found.provenance.begin(), found.provenance.end(), [](const auto& row) {
    return row.key == "launch_command" && row.leg == 2;
  });
  ASSERT_NE(command, found.provenance.end());
  EXPECT_THAT(command->value, HasSubstr("-np 4 --oversubscribe --bind-to none"));
}

TEST_F(CampaignTest, AKilledRankIsDataAndTheLaterLegsStillRun) {
  ::setenv("FAKE_MODE", "killed@2", 1);
  const Result result = run(colocated_plan());
  EXPECT_EQ(result.ending, Ending::finished);
  const auto found = evidence();
  EXPECT_THAT(outcomes(found), ElementsAre("A completed", "B completed", "joint failed", "joint completed",
                                           "B completed", "A completed"));
  EXPECT_THAT(failure_kinds(found), testing::Contains("killed"));
  EXPECT_THAT(found.leg_ends[2].message, HasSubstr("SIGKILL"));
  EXPECT_EQ(found.leg_ends[2].exit_status, 137);
}

TEST_F(CampaignTest, AFailedLaunchGoesOnFromItsLastCheckpoint) {
  ::setenv("FAKE_MODE", "killed@2", 1);
  const Result result =
      run(colocated_plan({"recovery.policy=same", "recovery.backoff_s=0.01", "recovery.checkpoint_steps=2"}));
  EXPECT_EQ(result.ending, Ending::finished);
  const auto found = evidence();
  EXPECT_THAT(outcomes(found), ElementsAre("A completed", "B completed", "joint failed", "joint completed",
                                           "joint completed", "B completed", "A completed"));
  ASSERT_EQ(found.legs.size(), 7U);
  const record::LegRow& second = found.legs[3];
  EXPECT_EQ(second.leg, 6U);
  EXPECT_EQ(second.attempt, 1U);
  EXPECT_EQ(second.round, 0U);
  // The others may have come further than the rank that died in step 5, but every checkpoint is of an even
  // step.
  EXPECT_GE(second.first_step, 4U);
  EXPECT_EQ(second.first_step % 2, 0U);
  EXPECT_EQ(second.first_step + second.warmup_steps + second.steps, 12U);
  EXPECT_FALSE(std::filesystem::exists(folder_->path() + "/checkpoint-joint-r0"))
      << "nobody goes on from them";
  EXPECT_THAT(event_kinds(found), testing::Contains("restart"));
}

TEST_F(CampaignTest, RestartsEnd) {
  ::setenv("FAKE_MODE", "killed", 1);
  static_cast<void>(
      run(colocated_plan({"recovery.policy=same", "recovery.max_restarts=2", "recovery.backoff_s=0.01",
                          "run.rounds=1", "criteria.min_steps=10"})));
  const auto found = evidence();
  EXPECT_THAT(outcomes(found), ElementsAre("A failed", "A failed", "A failed", "B failed", "B failed",
                                           "B failed", "joint failed", "joint failed", "joint failed"));
  for (const record::LegRow& row : found.legs)
    EXPECT_EQ(row.first_step, 0U) << "there was no checkpoint";
}

TEST_F(CampaignTest, ARestartWaitsAndAStopSignalEndsTheWait) {
  ::setenv("FAKE_MODE", "killed@0", 1);
  const Result result =
      run(colocated_plan({"recovery.policy=same", "recovery.backoff_s=600"}), [](const Progress& progress) {
        if (progress.moment == Progress::Moment::event &&
            progress.message.find("goes on") != std::string::npos)
          ::kill(::getpid(), SIGTERM);
      });
  EXPECT_EQ(result.ending, Ending::interrupted);
  EXPECT_THAT(outcomes(evidence()), ElementsAre("A failed"));
}

TEST_F(CampaignTest, AStallIsToldWhileItLasts) {
  ::setenv("FAKE_MODE", "stall@2", 1);
  std::vector<std::string> seen;
  static_cast<void>(run(colocated_plan({"run.steps=30"}), [&seen](const Progress& progress) {
    if (progress.moment == Progress::Moment::running && !progress.stall.empty())
      seen.push_back(progress.stall);
  }));
  EXPECT_THAT(seen, testing::Contains(HasSubstr("step 31 has taken")));
  // A busy machine may have stalls of its own besides.
  const auto found = evidence();
  const auto begin =
      std::find_if(found.events.begin(), found.events.end(), [](const record::EventRow& event) {
        return event.kind == "stall_begin" && event.leg == 2 &&
               event.message.find("leg joint, round 1: step 31 has taken") != std::string::npos;
      });
  ASSERT_NE(begin, found.events.end());
  ASSERT_NE(begin + 1, found.events.end());
  EXPECT_EQ((begin + 1)->kind, "stall_end");
  EXPECT_EQ((begin + 1)->leg, 2);
}

TEST_F(CampaignTest, FaultsAreMadeAtTheirStepAndTakenBack) {
  std::vector<std::string> made;
  options_.make_fault = [&made](const plan::Drill& drill, FaultAction action) {
    made.push_back(target_text(drill) + (action == FaultAction::make ? " made" : " back"));
    return std::string("by hand");
  };
  ::setenv("FAKE_MODE", "slow", 1);
  plan::Plan plan = colocated_plan({"run.rounds=1", "criteria.min_steps=10"});
  // A colocated plan may have no such drill, but what is made here is up to the callback.
  plan::Drill cut;
  cut.kind = plan::DrillKind::cut;
  cut.leg = "joint";
  cut.step = 3;
  cut.for_s = 0.1;
  cut.between = {"A", "B"};
  plan::Drill stays = cut;
  stays.step = 5;
  stays.for_s = 0.0;
  plan.drills = {cut, stays};
  static_cast<void>(run(plan));
  EXPECT_THAT(made, testing::UnorderedElementsAre("A - B made", "A - B back", "A - B made", "A - B back"));
  const auto found = evidence();
  ASSERT_EQ(found.drills.size(), 4U);
  EXPECT_EQ(found.drills[0].drill, 0U);
  EXPECT_EQ(found.drills[0].leg, 2U);
  EXPECT_GE(found.drills[0].step, 3);
  EXPECT_EQ(found.drills[0].end_utc_ns, 0);
  EXPECT_GT(found.drills.back().end_utc_ns, found.drills.back().begin_utc_ns);
}

TEST_F(CampaignTest, ALossThatTheLauncherKeepsQuietAboutIsSeenInTheEvidence) {
  ::setenv("FAKE_MODE", "killed@2", 1);
  ::setenv("FAKE_MPIRUN", "recovery", 1);
  static_cast<void>(run(colocated_plan()));
  const auto found = evidence();
  EXPECT_EQ(found.leg_ends[2].exit_status, 0);
  EXPECT_EQ(found.leg_ends[2].outcome, "failed");
}

TEST_F(CampaignTest, AMissingJournalFailsTheLeg) {
  ::setenv("FAKE_MODE", "elsewhere@1", 1);
  ::setenv("FAKE_ELSEWHERE", (base_ + "/b1").c_str(), 1);
  static_cast<void>(run(colocated_plan()));
  const auto found = evidence();
  EXPECT_EQ(found.leg_ends[1].outcome, "failed");
  EXPECT_EQ(found.leg_ends[1].journals, 1U);
  EXPECT_THAT(failure_kinds(found), testing::Contains("missing_evidence"));
}

TEST_F(CampaignTest, AHangIsStoppedAtItsDeadlineAndIsData) {
  ::setenv("FAKE_MODE", "hang@0", 1);
  const Result result =
      run(colocated_plan({"deadlines.op_s=0.5", "deadlines.wan_op_s=0.5", "deadlines.step_s=0.5"}));
  EXPECT_EQ(result.ending, Ending::finished);
  const auto found = evidence();
  EXPECT_THAT(failure_kinds(found), testing::Contains("deadline"));
  EXPECT_EQ(found.leg_ends[0].outcome, "failed");
  EXPECT_THAT(found.leg_ends[0].message, HasSubstr("no rank completed a step"));
  EXPECT_EQ(outcomes(found).back(), "A completed");
}

TEST_F(CampaignTest, ALaunchThatDoesNotEndIsStoppedAndItsWholeEvidenceCounts) {
  ::setenv("FAKE_MODE", "late@0", 1);
  static_cast<void>(run(colocated_plan({"deadlines.merge_s=0.2", "deadlines.finalize_s=0.5"})));
  const auto found = evidence();
  EXPECT_EQ(found.leg_ends[0].outcome, "completed");
  EXPECT_THAT(found.leg_ends[0].message, HasSubstr("did not end"));
  EXPECT_TRUE(found.failures.empty());
}

TEST_F(CampaignTest, RanksThatNeverStepAreStopped) {
  ::setenv("FAKE_MODE", "never@0", 1);
  static_cast<void>(run(colocated_plan({"deadlines.launch_s=0.4", "deadlines.init_s=0.4",
                                        "deadlines.site_map_s=0.4", "deadlines.first_op_s=0.4"})));
  const auto found = evidence();
  EXPECT_EQ(found.leg_ends[0].outcome, "failed");
  EXPECT_THAT(found.leg_ends[0].message, HasSubstr("no rank reached its first step"));
  EXPECT_EQ(found.leg_ends.size(), 6U);
}

TEST_F(CampaignTest, BadInputToTheRanksEndsTheCampaignWithTheirMessage) {
  ::setenv("FAKE_MODE", "bad_input", 1);
  const Result result = run(colocated_plan());
  EXPECT_EQ(result.ending, Ending::bad_input);
  EXPECT_EQ(result.message, "host here is in no site of the plan");
  EXPECT_EQ(evidence().legs.size(), 1U);
}

TEST_F(CampaignTest, FewerSlotsThanAskedIsBadInput) {
  ::setenv("FAKE_MPIRUN", "slots", 1);
  const Result result = run(by_host_plan());
  EXPECT_EQ(result.ending, Ending::bad_input);
  EXPECT_THAT(result.message, HasSubstr("leg A asks for 8 ranks"));
  EXPECT_EQ(result.message.find('\n'), std::string::npos);
}

TEST_F(CampaignTest, AHostThatCannotBeReachedEndsTheCampaign) {
  ::setenv("FAKE_MPIRUN", "unreachable", 1);
  const Result result = run(by_host_plan());
  EXPECT_EQ(result.ending, Ending::run_failed);
  EXPECT_TRUE(result.evidence_is_whole);
  EXPECT_THAT(result.message, HasSubstr("host gpu-b1 cannot be reached (No route to host)"));
}

TEST_F(CampaignTest, AHostlessNetworkIsRefusedBeforeAnythingIsLaunched) {
  EXPECT_THROW(check_launchable(by_host_plan({"site.B.hosts=[\"10.0.0.0/8\"]"}), {}), InputError);
  EXPECT_NO_THROW(check_launchable(by_host_plan(), {}));
}

}  // namespace
}  // namespace lockstep::campaign
