#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "harness/campaign/launcher.hpp"
#include "harness/core/error.hpp"
#include "tests/campaign/sample_plan.hpp"

namespace lockstep::campaign {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

const LaunchPaths kPaths{.launcher_prefix = {},
                         .launcher = "/usr/bin/mpirun",
                         .rank_program = "/opt/lockstep-rank",
                         .plan_file = "/r/plan.toml",
                         .journals_folder = "/r/journals/leg",
                         .hosts_file = "/r/logs/leg.hosts"};

const Surroundings kInJob{.usable_cpus = 2,
                          .is_root = false,
                          .emulated_hosts = false,
                          .mca = {},
                          .in_slurm_job = true,
                          .slurm_host = "n7"};

std::vector<std::string> arguments(const plan::Plan& plan, std::uint32_t leg,
                                   Surroundings surroundings = {.usable_cpus = 2,
                                                                .is_root = false,
                                                                .emulated_hosts = false,
                                                                .mca = {},
                                                                .in_slurm_job = false,
                                                                .slurm_host = {}}) {
  const auto hosts = hosts_of_leg(plan, plan.legs[leg], {});
  return mpirun_command(plan, Launch{7, leg, 1, 0}, hosts, kPaths, surroundings).argv;
}

TEST(MpirunCommand, ColocatedRanksShareCoresUnbound) {
  EXPECT_THAT(
      arguments(colocated_plan(), 2),
      ElementsAre("/usr/bin/mpirun", "-np", "4", "--oversubscribe", "--bind-to", "none", "/opt/lockstep-rank",
                  "--plan", "/r/plan.toml", "--leg", "joint", "--leg-index", "7", "--round", "1", "--attempt",
                  "0", "--journals", "/r/journals/leg", "--launched-by-controller"));
}

TEST(MpirunCommand, HostsGetSlotsAndEveryLegTheSameBinding) {
  const plan::Plan plan = by_host_plan();
  for (std::uint32_t leg = 0; leg < 3; ++leg) {
    const auto argv = arguments(plan, leg);
    EXPECT_EQ(argv[5], "--bind-to") << leg;
    EXPECT_EQ(argv[6], "socket") << leg;
  }
  EXPECT_EQ(arguments(plan, 2)[4], "gpu-a1:4,gpu-a2:4,gpu-b1:4,gpu-b2:4");
  EXPECT_EQ(arguments(plan, 2)[2], "16");
}

TEST(MpirunCommand, ManyHostsGoIntoAFile) {
  const plan::Plan plan = by_host_plan({"site.A.hosts=[\"n[001-400]\"]"});
  const auto argv = arguments(plan, 0);
  EXPECT_EQ(argv[3], "--hostfile");
  EXPECT_EQ(argv[4], "/r/logs/leg.hosts");
  EXPECT_THAT(hosts_file_text("mpirun", hosts_of_leg(plan, plan.legs[0], {})),
              testing::StartsWith("n001 slots=4\nn002 slots=4\n"));
}

TEST(MpirunCommand, EmulatedHostsShareTheCoresOfThisMachineInEveryLeg) {
  const Surroundings lab{.usable_cpus = 64,
                         .is_root = false,
                         .emulated_hosts = true,
                         .mca = {{"btl", "tcp,self"}},
                         .in_slurm_job = false,
                         .slurm_host = {}};
  const plan::Plan plan = by_host_plan({"mpi.mca.btl=\"self\""});
  LaunchPaths paths = kPaths;
  paths.launcher_prefix = {"lockstep", "lab", "exec", "a1", "--"};
  for (std::uint32_t leg = 0; leg < 3; ++leg) {
    const auto hosts = hosts_of_leg(plan, plan.legs[leg], {});
    const auto argv = mpirun_command(plan, Launch{7, leg, 1, 0}, hosts, paths, lab).argv;
    EXPECT_THAT(std::vector<std::string>(argv.begin(), argv.begin() + 6),
                ElementsAre("lockstep", "lab", "exec", "a1", "--", "/usr/bin/mpirun"));
    EXPECT_THAT(argv, testing::IsSupersetOf({"--oversubscribe", "none", "self"})) << leg;
    EXPECT_THAT(argv, testing::Not(testing::Contains("tcp,self"))) << "the plan's own come on top";
  }
}

TEST(MpirunCommand, LocalHostWithTooFewCoresIsShared) {
  const plan::Plan plan = by_host_plan({"site.A.hosts=[\"localhost\"]"});
  EXPECT_THAT(arguments(plan, 0,
                        {.usable_cpus = 2,
                         .is_root = false,
                         .emulated_hosts = false,
                         .mca = {},
                         .in_slurm_job = false,
                         .slurm_host = {}}),
              testing::Contains("--oversubscribe"));
  EXPECT_THAT(arguments(plan, 0,
                        {.usable_cpus = 4,
                         .is_root = false,
                         .emulated_hosts = false,
                         .mca = {},
                         .in_slurm_job = false,
                         .slurm_host = {}}),
              testing::Not(testing::Contains("--oversubscribe")));
}

TEST(MpirunCommand, PlanSettingsComeBeforeTheProgramAndReplaceBinding) {
  const plan::Plan plan =
      colocated_plan({"mpi.mpirun_args=[\"--bind-to\", \"core\"]", "mpi.mca.btl=\"self,tcp\""});
  EXPECT_THAT(arguments(plan, 0),
              testing::IsSupersetOf({std::string("--mca"), std::string("btl"), std::string("self,tcp")}));
  const auto argv = arguments(plan, 0);
  EXPECT_EQ(std::count(argv.begin(), argv.end(), "--bind-to"), 1);
  const auto binding = std::find(argv.begin(), argv.end(), "--bind-to");
  EXPECT_EQ(*(binding + 1), "core");
  EXPECT_LT(binding, std::find(argv.begin(), argv.end(), "/opt/lockstep-rank"));
}

TEST(MpirunCommand, OnlyRootAsksToRunAsRoot) {
  const plan::Plan plan = colocated_plan();
  EXPECT_THAT(mpirun_command(plan, Launch{}, {}, kPaths,
                             {.usable_cpus = 2,
                              .is_root = false,
                              .emulated_hosts = false,
                              .mca = {},
                              .in_slurm_job = false,
                              .slurm_host = {}})
                  .environment,
              IsEmpty());
  const Command command = mpirun_command(plan, Launch{}, {}, kPaths,
                                         {.usable_cpus = 2,
                                          .is_root = true,
                                          .emulated_hosts = false,
                                          .mca = {},
                                          .in_slurm_job = false,
                                          .slurm_host = {}});
  EXPECT_THAT(shell_line(command),
              HasSubstr("OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 /usr/bin/mpirun"));
}

TEST(MpirunCommand, ColocatedRanksOfASlurmJobAreHeldOnThisMachine) {
  const auto argv = arguments(colocated_plan(), 2, kInJob);
  EXPECT_EQ(argv[3], "--host");
  EXPECT_EQ(argv[4], "n7:4");
}

std::vector<std::string> srun_words(const plan::Plan& plan, std::uint32_t leg,
                                    const std::vector<HostSlots>& hosts) {
  LaunchPaths paths = kPaths;
  paths.launcher = "/usr/bin/srun";
  return launch_command(plan, Launch{7, leg, 1, 0}, hosts, paths, kInJob).argv;
}

TEST(SrunCommand, HostsAreListedAndBoundToSockets) {
  const plan::Plan plan = by_host_plan();
  EXPECT_THAT(srun_words(plan, 2, hosts_of_leg(plan, plan.legs[2], {})),
              ElementsAre("/usr/bin/srun", "--mpi=pmix", "--overlap", "--kill-on-bad-exit=1", "--ntasks=16",
                          "--nodes=4", "--ntasks-per-node=4", "--nodelist=gpu-a1,gpu-a2,gpu-b1,gpu-b2",
                          "--distribution=block", "--cpu-bind=sockets", "/opt/lockstep-rank", "--plan",
                          "/r/plan.toml", "--leg", "joint", "--leg-index", "7", "--round", "1", "--attempt",
                          "0", "--journals", "/r/journals/leg", "--launched-by-controller"));
}

TEST(SrunCommand, DifferentSlotsTakeALineForEachRank) {
  const plan::Plan plan = by_host_plan();
  const std::vector<HostSlots> hosts{{"gpu-b1", 2}, {"gpu-a1", 1}};
  LaunchPaths paths = kPaths;
  paths.launcher = "srun";
  const Command command = launch_command(plan, Launch{}, hosts, paths, kInJob);
  EXPECT_THAT(command.argv, testing::Contains("--distribution=arbitrary"));
  EXPECT_THAT(command.argv, testing::Contains("--ntasks=3"));
  EXPECT_THAT(shell_line(command), testing::StartsWith("SLURM_HOSTFILE=/r/logs/leg.hosts srun "));
  EXPECT_EQ(hosts_file_text("srun", hosts), "gpu-b1\ngpu-b1\ngpu-a1\n");
  EXPECT_EQ(hosts_file_text("srun", {{"a", 2}, {"b", 2}}), "") << "equal ones are listed";
}

TEST(SrunCommand, ColocatedRanksShareThisMachine) {
  const auto argv = srun_words(colocated_plan(), 2, {});
  EXPECT_THAT(argv, testing::IsSupersetOf({"--nodes=1", "--nodelist=n7", "--overcommit", "--cpu-bind=none"}));
}

TEST(SrunCommand, McaParametersGoThroughTheEnvironment) {
  const plan::Plan plan = colocated_plan({"mpi.mca.btl=\"self,tcp\""});
  LaunchPaths paths = kPaths;
  paths.launcher = "srun";
  EXPECT_THAT(shell_line(launch_command(plan, Launch{}, {}, paths, kInJob)),
              testing::StartsWith("OMPI_MCA_btl=self,tcp srun "));
}

TEST(CheckLauncher, SrunNeedsAJobAndNoOptionsOfMpirun) {
  const plan::Plan plan = colocated_plan();
  EXPECT_NO_THROW(check_launcher(plan, "/usr/bin/srun", kInJob));
  EXPECT_THROW(check_launcher(plan, "/usr/bin/srun", {}), InputError);
  EXPECT_NO_THROW(check_launcher(plan, "/usr/bin/mpirun", {}));
  const plan::Plan with_options = colocated_plan({"mpi.mpirun_args=[\"--bind-to\", \"core\"]"});
  EXPECT_THROW(check_launcher(with_options, "srun", kInJob), InputError);
  EXPECT_NO_THROW(check_launcher(with_options, "mpirun", kInJob));
}

TEST(ShellLine, QuotesWhatAShellWouldChange) {
  EXPECT_EQ(shell_line({{"a", "b c", "it's", "", "$x"}, {}}), "a 'b c' 'it'\\''s' '' '$x'");
}

TEST(FindPrograms, NamesWhatIsMissing) {
  EXPECT_THROW(static_cast<void>(find_programs({"/no/such/mpirun", "/bin/sh"})), InputError);
  EXPECT_THROW(static_cast<void>(find_programs({"no-such-launcher-anywhere", "/bin/sh"})), InputError);
  EXPECT_THROW(static_cast<void>(find_programs({"/bin/sh", "/etc/passwd"})), InputError);
  // Beside this test there is no lockstep-rank, and nobody asked for one: that is not the user's fault.
  EXPECT_THROW(static_cast<void>(find_programs({"sh", ""})), RunError);
  const Programs found = find_programs({"sh", "/bin/sh"});
  EXPECT_TRUE(found.launcher.starts_with('/'));
  EXPECT_EQ(found.rank_program, "/bin/sh");
}

}  // namespace
}  // namespace lockstep::campaign
