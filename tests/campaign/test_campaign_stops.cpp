#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>

#include "harness/campaign/campaign.hpp"
#include "harness/core/error.hpp"
#include "harness/record/run_file.hpp"
#include "tests/campaign/campaign_fixture.hpp"

namespace lockstep::campaign {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

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

}  // namespace
}  // namespace lockstep::campaign
