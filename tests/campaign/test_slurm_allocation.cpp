#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "harness/campaign/slurm_allocation.hpp"
#include "harness/core/clock.hpp"
#include "harness/core/error.hpp"

namespace lockstep::campaign {
namespace {

using testing::ElementsAre;

using Environment = std::map<std::string, std::string>;

std::optional<std::string> no_tool(const std::vector<std::string>&) {
  return std::nullopt;
}

/// What sbatch of Slurm 22.05 sets, as far as it is looked at.
Environment job_environment() {
  return {{"SLURM_JOB_ID", "42"},
          {"SLURM_JOB_NODELIST", "a[1-2],b1"},
          {"SLURM_TASKS_PER_NODE", "2(x2),1"},
          {"SLURM_JOB_CPUS_PER_NODE", "64(x3)"}};
}

TEST(SlurmAllocation, IsReadFromTheEnvironment) {
  Environment environment = job_environment();
  environment["SLURM_RESTART_COUNT"] = "3";
  environment["SLURM_JOB_END_TIME"] = "1800000000";
  const auto job = read_slurm_allocation(environment, no_tool);
  ASSERT_TRUE(job);
  EXPECT_EQ(job->job_id, "42");
  EXPECT_THAT(job->hosts, ElementsAre(HostSlots{"a1", 2}, HostSlots{"a2", 2}, HostSlots{"b1", 1}));
  EXPECT_EQ(job->restarts, 3U);
  EXPECT_EQ(job->end_utc_ns, 1'800'000'000'000'000'000);
}

TEST(SlurmAllocation, IsNoneOutsideOfAJob) {
  EXPECT_FALSE(read_slurm_allocation({}, no_tool));
  EXPECT_FALSE(read_slurm_allocation({{"SLURM_CONF", "/etc/slurm/slurm.conf"}}, no_tool));
}

TEST(SlurmAllocation, TakesSlotsFromWhatIsThere) {
  Environment environment = job_environment();
  environment.erase("SLURM_TASKS_PER_NODE");
  EXPECT_EQ(read_slurm_allocation(environment, no_tool)->hosts.back().slots, 64U);
  environment["SLURM_NTASKS_PER_NODE"] = "8";
  EXPECT_EQ(read_slurm_allocation(environment, no_tool)->hosts.back().slots, 8U);
  environment = {{"SLURM_JOB_ID", "42"}, {"SLURM_JOB_NODELIST", "a1"}};
  EXPECT_EQ(read_slurm_allocation(environment, no_tool)->hosts.back().slots, 1U);
}

TEST(SlurmAllocation, RefusesCountsOfOtherHosts) {
  Environment environment = job_environment();
  environment["SLURM_TASKS_PER_NODE"] = "2(x5)";
  EXPECT_THROW(static_cast<void>(read_slurm_allocation(environment, no_tool)), InputError);
}

TEST(SlurmAllocation, AsksSqueueForTheTimeLeft) {
  std::vector<std::string> asked;
  const std::int64_t before_ns = utc_ns();
  const auto job = read_slurm_allocation(job_environment(), [&asked](const std::vector<std::string>& argv) {
    asked = argv;
    return std::optional<std::string>("1:00:00\n");
  });
  EXPECT_THAT(asked, ElementsAre("squeue", "--noheader", "--job", "42", "--format=%L"));
  ASSERT_TRUE(job->end_utc_ns);
  EXPECT_GE(*job->end_utc_ns - before_ns, 3'600'000'000'000);
  EXPECT_FALSE(read_slurm_allocation(job_environment(), [](const auto&) {
                 return std::optional<std::string>("UNLIMITED\n");
               })->end_utc_ns);
}

TEST(SlurmTopology, IsEmptyWhenScontrolFails) {
  EXPECT_TRUE(read_slurm_topology(no_tool).empty());
  EXPECT_EQ(read_slurm_topology([](const auto&) {
              return std::optional<std::string>("SwitchName=s Level=0 LinkSpeed=1 Nodes=a1\n");
            }).size(),
            1U);
}

TEST(OutputOfTool, GivesWhatWasPrintedOrNothing) {
  EXPECT_EQ(output_of_tool({"printf", "two\nlines"}), "two\nlines");
  EXPECT_FALSE(output_of_tool({"false"}));
  EXPECT_FALSE(output_of_tool({"no-such-program-anywhere"}));
}

}  // namespace
}  // namespace lockstep::campaign
