#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include "harness/campaign/campaign.hpp"
#include "harness/record/run_file.hpp"
#include "tests/campaign/process_checks.hpp"
#include "tests/campaign/sample_plan.hpp"

namespace lockstep::campaign {

/// Runs campaigns with ranks that only leave journals, in a folder of the test's own.
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

/// Raises a signal once the joint leg of round 0 has made a few steps.
inline ProgressCallback raise_in_joint_leg(int number) {
  return [number, raised = false](const Progress& progress) mutable {
    if (progress.launch != 2 || progress.steps_done < 4 || raised)
      return;
    raised = true;
    ::raise(number);
  };
}

}  // namespace lockstep::campaign
