#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include "harness/campaign/campaign.hpp"
#include "harness/campaign/collect.hpp"
#include "harness/core/clock.hpp"
#include "harness/core/error.hpp"
#include "harness/record/checkpoint.hpp"
#include "harness/record/run_file.hpp"
#include "tests/campaign/process_checks.hpp"
#include "tests/campaign/sample_plan.hpp"

namespace lockstep::campaign {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class CampaignTest : public testing::Test {
 protected:
  void SetUp() override {
    base_ = testing::TempDir() + "campaign-" + std::to_string(::getpid()) + "-" +
            testing::UnitTest::GetInstance()->current_test_info()->name();
    options_.programs = {LOCKSTEP_FAKE_MPIRUN, LOCKSTEP_FAKE_RANK};
    options_.stop_grace_s = 0.5;
    options_.poll_interval_s = 0.02;
    options_.deadline_slack_s = 0.2;
    ::unsetenv("FAKE_MODE");
    ::unsetenv("FAKE_MPIRUN");
  }
  void TearDown() override {
    EXPECT_TRUE(eventually(no_process_left)) << "a process was left behind";
    std::filesystem::remove_all(base_);
  }
  Result run(const plan::Plan& plan, const ProgressCallback& on_progress = {}) {
    folder_ = ResultsFolder::create(base_, plan.name, 0);
    return campaign::run(plan, options_, *folder_, stop_, on_progress);
  }
  record::Evidence evidence() const { return record::read_run_file(folder_->run_file()); }
  static std::vector<std::string> outcomes(const record::Evidence& evidence) {
    std::vector<std::string> outcomes;
    for (const auto& end : evidence.leg_ends) {
      for (const auto& leg : evidence.legs) {
        if (leg.leg == end.leg)
          outcomes.push_back(leg.name + " " + end.outcome);
      }
    }
    return outcomes;
  }
  static std::vector<std::string> failure_kinds(const record::Evidence& evidence) {
    std::vector<std::string> kinds;
    for (const auto& failure : evidence.failures)
      kinds.push_back(failure.kind);
    return kinds;
  }

  static std::vector<std::string> event_kinds(const record::Evidence& evidence) {
    std::vector<std::string> kinds;
    for (const auto& event : evidence.events)
      kinds.push_back(event.kind);
    return kinds;
  }

  std::string base_;
  Options options_;
  StopSignals stop_;
  std::optional<ResultsFolder> folder_;
};

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

TEST_F(CampaignTest, StopSignalsKeepTheEvidenceSoFarHoweverOftenTheyCome) {
  ::setenv("FAKE_MODE", "slow@2", 1);
  const Result result = run(colocated_plan(), [](const Progress& progress) {
    if (progress.launch == 2 && progress.steps_done >= 4 && progress.moment == Progress::Moment::running) {
      ::raise(SIGINT);
      ::raise(SIGTERM);
      ::raise(SIGINT);
    }
  });
  EXPECT_EQ(result.ending, Ending::interrupted);
  EXPECT_TRUE(result.evidence_is_whole);
  EXPECT_TRUE(no_process_left());
  const auto found = evidence();
  EXPECT_THAT(outcomes(found), ElementsAre("A completed", "B completed", "joint interrupted"));
  const auto steps =
      std::count_if(found.steps.begin(), found.steps.end(), [](const auto& row) { return row.leg == 2; });
  EXPECT_GE(steps, 4 * 4);
}

/// Raises a signal once the joint leg of round 0 has made a few steps.
ProgressCallback raise_in_joint_leg(int number) {
  return [number, raised = false](const Progress& progress) mutable {
    if (progress.launch != 2 || progress.steps_done < 4 || raised)
      return;
    raised = true;
    ::raise(number);
  };
}

TEST_F(CampaignTest, ARunThatIsAskedToStopEndsBehindAWholeStep) {
  for (const int number : {SIGUSR1, SIGTERM}) {
    ::setenv("FAKE_MODE", "slow@2", 1);
    options_.soon_patience_s = options_.promptly_patience_s = 60.0;
    StopSignals stop;
    folder_ = ResultsFolder::create(base_, "p", number);
    const plan::Plan plan = colocated_plan({"run.steps=60"});
    const Result result = campaign::run(plan, options_, *folder_, stop, raise_in_joint_leg(number));
    EXPECT_EQ(result.ending, Ending::interrupted);
    const auto found = evidence();
    EXPECT_THAT(outcomes(found), ElementsAre("A completed", "B completed", "joint interrupted"));
    EXPECT_EQ(found.leg_ends[2].exit_status, 0) << "its ranks ended by themselves";
    for (const auto& row : found.comms)
      EXPECT_NE(row.end_ns, 0) << "leg " << row.leg << ", step " << row.step;
    EXPECT_TRUE(std::filesystem::exists(folder_->unfinished_file()));
  }
}

TEST_F(CampaignTest, RanksThatDoNotListenAreEndedWhenPatienceIs) {
  ::setenv("FAKE_MODE", "deaf@2", 1);
  options_.soon_patience_s = 0.1;
  const plan::Plan plan = colocated_plan({"run.steps=1000"});
  const Result result = run(plan, raise_in_joint_leg(SIGUSR1));
  EXPECT_EQ(result.ending, Ending::interrupted);
  EXPECT_THAT(outcomes(evidence()), ElementsAre("A completed", "B completed", "joint interrupted"));
  EXPECT_TRUE(no_process_left());
}

TEST_F(CampaignTest, ARunThatWasCutShortGoesOnInItsFolder) {
  ::setenv("FAKE_MODE", "slow@2", 1);
  const plan::Plan plan = colocated_plan({"run.steps=60"});
  static_cast<void>(run(plan, raise_in_joint_leg(SIGUSR1)));
  const auto before = evidence();
  std::vector<std::string> told;
  ::unsetenv("FAKE_MODE");
  StopSignals stop;
  const Result result = campaign::run(plan, options_, *folder_, stop, [&](const Progress& progress) {
    if (progress.moment == Progress::Moment::ended)
      told.push_back(progress.leg);
  });
  EXPECT_EQ(result.ending, Ending::finished);
  EXPECT_THAT(told, ElementsAre("joint", "joint", "B", "A"));
  const auto found = evidence();
  EXPECT_THAT(outcomes(found), ElementsAre("A completed", "B completed", "joint completed", "joint completed",
                                           "B completed", "A completed"));
  EXPECT_EQ(found.created_utc, before.created_utc);
  EXPECT_EQ(found.legs[1], before.legs[1]);
  EXPECT_EQ(found.leg_ends[1], before.leg_ends[1]);
  EXPECT_EQ(found.steps.size(), 62U * 8 * 2);
  EXPECT_TRUE(std::equal(found.steps.begin(), found.steps.begin() + 62 * 4, before.steps.begin()))
      << "steps of what is kept";
  const auto resumed = std::find_if(found.provenance.begin(), found.provenance.end(),
                                    [](const auto& row) { return row.key == "resumed"; });
  ASSERT_NE(resumed, found.provenance.end());
  EXPECT_THAT(resumed->value,
              HasSubstr("kept 2 of 6 launches; cut short and made again: 2 (joint, round 0)"));
  EXPECT_FALSE(std::filesystem::exists(folder_->unfinished_file()));
  EXPECT_EQ(record::read_run_file(folder_->path() + "/run.before-1.h5"), before) << "nothing is lost";
  EXPECT_TRUE(
      std::filesystem::exists(folder_->path() + "/before-1/journals/leg-002-joint-r0-a0/rank-00000.journal"));
}

/// Runs a campaign in a process of its own, which gets SIGKILL once the joint leg has done a few steps.
void kill_controller_in_joint_leg(const std::function<Result(const ProgressCallback&)>& run) {
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    static_cast<void>(run([](const Progress& progress) {
      if (progress.leg == "joint" && progress.steps_done > 3)
        ::kill(::getpid(), SIGKILL);
    }));
    ::_exit(9);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status)) << "it came to its end: " << status;
}

TEST_F(CampaignTest, JournalsOfALaunchWhoseControllerWasKilledAreCollected) {
  ::setenv("FAKE_MODE", "slow@2", 1);
  const plan::Plan plan = colocated_plan({"run.steps=60"});
  const std::string path = base_ + "/killed";
  kill_controller_in_joint_leg([&](const ProgressCallback& on_progress) {
    StopSignals stop;
    return campaign::run(plan, options_, ResultsFolder::open(path), stop, on_progress);
  });
  ASSERT_TRUE(eventually(no_process_left));
  folder_ = ResultsFolder::open(path);
  EXPECT_TRUE(record::was_left_open(folder_->run_file()));
  const auto before = evidence();
  EXPECT_EQ(before.legs.size(), 3U);
  EXPECT_EQ(before.leg_ends.size(), 2U);
  const Collected collected = collect_evidence(*folder_, "", utc_ns());
  EXPECT_THAT(collected.merged, ElementsAre("joint (round 0, attempt 0)"));
  EXPECT_THAT(collected.missing, testing::IsEmpty());
  EXPECT_TRUE(collected.replaced);
  EXPECT_FALSE(record::was_left_open(folder_->run_file()));
  const auto found = evidence();
  EXPECT_THAT(outcomes(found), ElementsAre("A completed", "B completed", "joint interrupted"));
  EXPECT_GE(found.leg_ends[2].ended_utc_ns, found.legs[2].launched_utc_ns);
  EXPECT_LE(found.leg_ends[2].ended_utc_ns, utc_ns());
  EXPECT_EQ(found.legs, before.legs);
  const auto steps_of_joint = [](const record::Evidence& evidence) {
    return std::count_if(evidence.steps.begin(), evidence.steps.end(),
                         [](const auto& row) { return row.leg == 2; });
  };
  EXPECT_GE(steps_of_joint(found), std::max<std::ptrdiff_t>(steps_of_joint(before), 4 * 4));
  EXPECT_TRUE(std::filesystem::exists(folder_->earlier_run_file(1)));
  EXPECT_FALSE(collect_evidence(*folder_, "", utc_ns()).replaced) << "there is nothing more to do";
}

TEST_F(CampaignTest, WhateverHappenedToTheControllerTheRunGoesOn) {
  ::setenv("FAKE_MODE", "slow@2", 1);
  const plan::Plan plan = colocated_plan({"run.steps=60"});
  const std::string path = base_ + "/killed";
  kill_controller_in_joint_leg([&](const ProgressCallback& on_progress) {
    StopSignals stop;
    return campaign::run(plan, options_, ResultsFolder::open(path), stop, on_progress);
  });
  ASSERT_TRUE(eventually(no_process_left));
  ::unsetenv("FAKE_MODE");
  folder_ = ResultsFolder::open(path);
  const Result result = campaign::run(plan, options_, *folder_, stop_, {});
  EXPECT_EQ(result.ending, Ending::finished);
  const auto found = evidence();
  EXPECT_THAT(outcomes(found), ElementsAre("A completed", "B completed", "joint completed", "joint completed",
                                           "B completed", "A completed"));
  EXPECT_EQ(found.steps.size(), 62U * 8 * 2);
}

TEST_F(CampaignTest, ARestartThatWasNotMadeIsMadeWhenTheRunGoesOn) {
  ::setenv("FAKE_MODE", "killed@2", 1);
  const plan::Plan plan = colocated_plan(
      {"recovery.policy=same", "recovery.backoff_s=60", "run.rounds=1", "criteria.min_steps=10"});
  const Result result = run(plan, [](const Progress& progress) {
    if (progress.moment == Progress::Moment::event &&
        progress.message.find("attempt 2 goes on") != std::string::npos)
      ::raise(SIGINT);
  });
  EXPECT_EQ(result.ending, Ending::interrupted);
  EXPECT_THAT(outcomes(evidence()), ElementsAre("A completed", "B completed", "joint failed"));
  EXPECT_TRUE(stop_.stop_requested());
  ::unsetenv("FAKE_MODE");
  StopSignals stop;
  EXPECT_EQ(campaign::run(plan, options_, *folder_, stop, {}).ending, Ending::finished);
  EXPECT_THAT(outcomes(evidence()), ElementsAre("A completed", "B completed", "joint completed"));
}

TEST_F(CampaignTest, CheckpointsOfSomethingEarlierAreNotGoneOnFrom) {
  ::setenv("FAKE_MODE", "killed@2", 1);
  const plan::Plan plan = colocated_plan(
      {"recovery.policy=same", "recovery.backoff_s=0", "run.rounds=1", "criteria.min_steps=10"});
  folder_ = ResultsFolder::create(base_, plan.name, 0);
  const std::string old = folder_->path() + "/checkpoint-joint-r0";
  std::filesystem::create_directories(old + "/step-8");
  record::mark_complete(old, {.step = 8, .ranks = 4});
  EXPECT_EQ(campaign::run(plan, options_, *folder_, stop_, {}).ending, Ending::finished);
  const auto found = evidence();
  ASSERT_GE(found.legs.size(), 4U);
  EXPECT_EQ(found.legs[3].attempt, 1U);
  EXPECT_EQ(found.legs[3].first_step, 0U);
}

TEST_F(CampaignTest, JournalsThatComeLateAreMerged) {
  ::setenv("FAKE_MODE", "elsewhere@1", 1);
  ::setenv("FAKE_ELSEWHERE", (base_ + "/b1").c_str(), 1);
  static_cast<void>(run(colocated_plan({"run.rounds=1", "criteria.min_steps=10"})));
  const auto before = evidence();
  EXPECT_EQ(before.leg_ends[1].journals, 1U);
  const Collected nothing = collect_evidence(*folder_, "", utc_ns());
  EXPECT_THAT(nothing.merged, testing::IsEmpty());
  EXPECT_THAT(nothing.missing, ElementsAre("rank 1 of B (round 0, attempt 0)"));
  const Collected late = collect_evidence(*folder_, base_ + "/b1", utc_ns());
  EXPECT_THAT(late.merged, ElementsAre("B (round 0, attempt 0)"));
  EXPECT_THAT(late.missing, testing::IsEmpty());
  const auto found = evidence();
  const auto end =
      std::find_if(found.leg_ends.begin(), found.leg_ends.end(), [](const auto& e) { return e.leg == 1; });
  EXPECT_EQ(end->journals, 2U);
  EXPECT_EQ(end->outcome, "failed") << "that it was not there in time stays true";
  const auto row = std::find_if(found.provenance.begin(), found.provenance.end(),
                                [](const auto& r) { return r.key == "collected"; });
  ASSERT_NE(row, found.provenance.end());
  EXPECT_THAT(row->value, HasSubstr("merged B (round 0, attempt 0)"));
  // What only the controller knew of that launch.
  EXPECT_EQ(found.incidents, before.incidents);
  const auto is_command = [](const auto& r) { return r.leg == 1 && r.key == "launch_command"; };
  EXPECT_EQ(std::count_if(found.provenance.begin(), found.provenance.end(), is_command), 1);
}

TEST_F(CampaignTest, AJournalOfAnotherRunIsNotMerged) {
  ::setenv("FAKE_MODE", "elsewhere@1", 1);
  ::setenv("FAKE_ELSEWHERE", (base_ + "/b1").c_str(), 1);
  const plan::Plan plan = colocated_plan({"run.rounds=1", "criteria.min_steps=10"});
  static_cast<void>(run(plan));
  ::unsetenv("FAKE_MODE");
  const ResultsFolder other = ResultsFolder::create(base_, "other", 0);
  StopSignals stop;
  static_cast<void>(campaign::run(plan, options_, other, stop, {}));
  const Collected late = collect_evidence(*folder_, other.path() + "/journals", utc_ns());
  EXPECT_THAT(late.missing, ElementsAre("rank 1 of B (round 0, attempt 0)"));
  const auto found = evidence();
  const auto told = std::find_if(found.failures.begin(), found.failures.end(),
                                 [](const auto& row) { return row.kind == "missing_evidence"; });
  ASSERT_NE(told, found.failures.end());
  EXPECT_THAT(told->message, HasSubstr("journal of another launch"));
}

TEST_F(CampaignTest, ARunFileThatWasLeftOpenIsWrittenAnew) {
  ::setenv("FAKE_MODE", "slow@2", 1);
  const plan::Plan plan = colocated_plan({"run.steps=60"});
  const std::string path = base_ + "/killed";
  kill_controller_in_joint_leg([&](const ProgressCallback& on_progress) {
    StopSignals stop;
    return campaign::run(plan, options_, ResultsFolder::open(path), stop, on_progress);
  });
  ASSERT_TRUE(eventually(no_process_left));
  folder_ = ResultsFolder::open(path);
  const auto before = evidence();
  recover_run_file(folder_->run_file(), folder_->path() + "/kept.h5");
  EXPECT_FALSE(record::was_left_open(folder_->run_file()));
  EXPECT_TRUE(record::was_left_open(folder_->path() + "/kept.h5"));
  EXPECT_EQ(evidence(), before);
}

TEST_F(CampaignTest, AFailureIsNotMadeToGoAwayByGoingOn) {
  ::setenv("FAKE_MODE", "killed@1", 1);
  const plan::Plan plan = colocated_plan();
  static_cast<void>(run(plan, [](const Progress& progress) {
    if (progress.launch == 2 && progress.moment == Progress::Moment::launched)
      ::raise(SIGINT);
  }));
  ::unsetenv("FAKE_MODE");
  StopSignals stop;
  EXPECT_EQ(campaign::run(plan, options_, *folder_, stop, {}).ending, Ending::finished);
  EXPECT_EQ(outcomes(evidence())[1], "B failed");
  EXPECT_THAT(failure_kinds(evidence()), testing::Contains("killed"));
}

TEST_F(CampaignTest, ALaunchThatNeverCameAboutIsMadeAgain) {
  ::setenv("FAKE_MPIRUN", "unreachable", 1);
  EXPECT_EQ(run(colocated_plan()).ending, Ending::run_failed);
  ::unsetenv("FAKE_MPIRUN");
  EXPECT_EQ(campaign::run(colocated_plan(), options_, *folder_, stop_, {}).ending, Ending::finished);
  EXPECT_EQ(outcomes(evidence()).front(), "A completed");
  EXPECT_TRUE(evidence().failures.empty());
}

TEST_F(CampaignTest, OnlyTheSamePlanGoesOn) {
  static_cast<void>(run(colocated_plan()));
  EXPECT_THROW(
      static_cast<void>(campaign::run(colocated_plan({"run.steps=11"}), options_, *folder_, stop_, {})),
      InputError);
  const auto before = evidence();
  EXPECT_EQ(campaign::run(colocated_plan(), options_, *folder_, stop_, {}).ending, Ending::finished);
  EXPECT_EQ(evidence().steps, before.steps) << "of a run that was through nothing is made again";
}

TEST_F(CampaignTest, NoLaunchBeginsThatWouldOutlastTheTimeLimit) {
  options_.end_utc_ns = utc_ns() + static_cast<std::int64_t>((kVerdictReserveS + 60.0) * 1e9);
  options_.expected_step_s = {0.001, 0.001, 10.0};  // A and B: 12 ms; joint: two minutes
  const Result result = run(colocated_plan());
  EXPECT_EQ(result.ending, Ending::out_of_time);
  EXPECT_THAT(result.message, HasSubstr("the next launch (joint, round 1) takes about"));
  EXPECT_THAT(outcomes(evidence()), ElementsAre("A completed", "B completed"));
  EXPECT_TRUE(std::filesystem::exists(folder_->unfinished_file()));
}

TEST_F(CampaignTest, ASignalBeforeTheFirstLaunchLeavesAnEmptyRun) {
  ::raise(SIGTERM);
  const Result result = run(colocated_plan());
  EXPECT_EQ(result.ending, Ending::interrupted);
  EXPECT_TRUE(evidence().legs.empty());
}

/// A disk of its own, so small that a file fills it. It goes with this process.
class SmallDisk {
 public:
  explicit SmallDisk(std::string path) : path_(std::move(path)) {
    std::filesystem::create_directories(path_);
    mounted_ = ::unshare(CLONE_NEWNS) == 0 &&
               ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
               ::mount("lockstep-test", path_.c_str(), "tmpfs", 0, "size=24m") == 0;
  }
  ~SmallDisk() {
    if (mounted_)
      ::umount2(path_.c_str(), MNT_DETACH);
  }
  bool mounted() const { return mounted_; }
  void fill() const {
    std::ofstream file(path_ + "/filler", std::ios::binary);
    const std::string block(4096, 'x');
    while (file.write(block.data(), static_cast<std::streamsize>(block.size())).flush()) {
    }
  }

 private:
  std::string path_;
  bool mounted_ = false;
};

TEST_F(CampaignTest, AFullDiskEndsTheRunAndLeavesReadableEvidence) {
  const SmallDisk disk(base_);
  if (!disk.mounted())
    GTEST_SKIP() << "mounting a small disk takes the right to do so";
  bool filled = false;
  const Result result = run(colocated_plan({"run.steps=200"}), [&](const Progress& progress) {
    if (progress.launch == 1 && progress.steps_done > 0 && !filled) {
      disk.fill();
      filled = true;
    }
  });
  EXPECT_TRUE(filled);
  EXPECT_EQ(result.ending, Ending::run_failed);
  EXPECT_TRUE(result.evidence_is_whole);
  EXPECT_THAT(result.message, HasSubstr("No space left on device"));
  EXPECT_TRUE(no_process_left());
  const auto found = evidence();
  EXPECT_EQ(outcomes(found).front(), "A completed");
  EXPECT_GE(found.legs.size(), 2U);
  EXPECT_LT(found.leg_ends.size(), 6U);
  EXPECT_FALSE(std::filesystem::exists(folder_->path() + "/.reserve"));
}

TEST_F(CampaignTest, ADiskThatIsFullFromTheStartIsSaidAtOnce) {
  const SmallDisk disk(base_);
  if (!disk.mounted())
    GTEST_SKIP() << "mounting a small disk takes the right to do so";
  const plan::Plan plan = colocated_plan();
  folder_ = ResultsFolder::create(base_, plan.name, 0);
  disk.fill();
  EXPECT_THROW(static_cast<void>(campaign::run(plan, options_, *folder_, stop_, {})), RunError);
}

TEST_F(CampaignTest, AHostlessNetworkIsRefusedBeforeAnythingIsLaunched) {
  EXPECT_THROW(check_launchable(by_host_plan({"site.B.hosts=[\"10.0.0.0/8\"]"}), {}), InputError);
  EXPECT_NO_THROW(check_launchable(by_host_plan(), {}));
}

TEST(ResultsFolder, TakenNamesAreCounted) {
  const std::string base = testing::TempDir() + "folders-" + std::to_string(::getpid());
  EXPECT_EQ(ResultsFolder::create(base, "two sites/x", 0).path(), base + "/two-sites-x-19700101T000000Z");
  EXPECT_EQ(ResultsFolder::create(base, "two sites/x", 0).path(), base + "/two-sites-x-19700101T000000Z-2");
  EXPECT_EQ(ResultsFolder::create(base, "two sites/x", 0).path(), base + "/two-sites-x-19700101T000000Z-3");
  std::filesystem::remove_all(base);
}

TEST(ResultsFolder, IsOneRunsAtATime) {
  const std::string path = testing::TempDir() + "folder-" + std::to_string(::getpid());
  {
    const ResultsFolder folder = ResultsFolder::open(path + "/");
    EXPECT_EQ(folder.path(), path);
    EXPECT_THROW(static_cast<void>(ResultsFolder::open(path)), InputError);
  }
  EXPECT_NO_THROW(static_cast<void>(ResultsFolder::open(path)));
  std::filesystem::remove_all(path);
}

TEST(ResultsFolder, RefusesAPlaceThatCannotBeWritten) {
  EXPECT_THROW(static_cast<void>(ResultsFolder::create("/proc/none", "p", 0)), InputError);
  EXPECT_THROW(static_cast<void>(ResultsFolder::create("/dev/null", "p", 0)), InputError);
}

}  // namespace
}  // namespace lockstep::campaign
