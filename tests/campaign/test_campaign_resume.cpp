#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>

#include "harness/campaign/campaign.hpp"
#include "harness/campaign/collect.hpp"
#include "harness/core/error.hpp"
#include "harness/record/checkpoint.hpp"
#include "harness/record/run_file.hpp"
#include "tests/campaign/campaign_fixture.hpp"

namespace lockstep::campaign {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

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

}  // namespace
}  // namespace lockstep::campaign
