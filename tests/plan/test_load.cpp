#include <cstdio>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "harness/plan/load.hpp"
#include "tests/plan/plans.hpp"

namespace lockstep::plan {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(Load, ReadsEveryKindOfKey) {
  const Plan plan = parse_plan(R"(name = "all-keys_1.0"
placement = "by_host"
[[site]]
name = "A"
hosts = ["a[1-4]", "10.0.0.1"]
slots = 2
[[site]]
name = "B"
hosts = ["b[01-05]"]
spares = ["b06"]
slots = 2
[[leg]]
name = "both"
kind = "joint"
sites = ["B", "A"]
[[leg]]
name = "B-alone"
kind = "baseline"
sites = ["B"]
[[leg]]
name = "A-alone"
kind = "baseline"
sites = ["A"]
[workload]
kind = "transformer"
dtype = "bf16"
sequence_length = 128
sequences = 3
micro_batches = 4
tensor_parallel = 2
bucket_parameters = 5000000000
overlap = false
[workload.shape]
layers = 2
hidden = 64
ffn = 96
heads = 4
kv_heads = 2
head_dim = 16
vocab = 100
gated_mlp = false
[compute]
backend = "cuda"
kernel = "openblas:SkylakeX"
graphs = "on"
paced_gflops = 12
paced_memory_gbps = 0.5
[fabric]
backend = "nccl"
progress = "spin"
all_reduce = "hierarchical"
piece_mib = 8
nccl_ctas = 4
share_gpu = true
[links]
lan_latency_s = 1e-6
lan_gbps = 50
wan_latency_s = 0.005
wan_gbps = 12.5
[run]
steps = 70
warmup_steps = 0
rounds = 3
op_stamp_steps = 9
[validation]
step_share = 1
samples = 17
[deadlines]
launch_s = 1.5
init_s = 2
site_map_s = 2.5
first_op_s = 2.75
op_s = 3
wan_op_s = 3.5
step_s = 7
least_s = 1
merge_s = 5
finalize_s = 4
[recovery]
policy = "spare"
max_restarts = 7
backoff_s = 0.5
checkpoint_steps = 20
checkpoint_folder = "/scratch"
checkpoint_bytes_per_parameter = 16
[probes]
per_second = 8
[health]
per_second = 0.5
[[drill]]
kind = "degrade"
between = ["B", "A"]
settings = ["loss=1%", "rtt=20ms"]
round = 2
step = 9
after_s = 0.25
for_s = 3
[[drill]]
kind = "slow"
leg = "A-alone"
rank = 3
factor = 2.5
[mpi]
mpirun_args = ["--bind-to", "core"]
[mpi.mca]
btl_tcp_if_include = "eth0"
btl_tcp_eager_limit = 8388608
mpi_yield_when_idle = true
[criteria]
required_grade = "A+"
confidence = 0.9
min_steps = 210
eta_a_plus = 0.9
eta_a = 0.8
eta_b = 0.7
eta_max = 3
tail_ratio_max = 2
exposed_wan_max = 0.2
site_contribution_min = 0.3
effective_time_min = 0.4
clock_bound_max = 0.6
rate_drift_max = 0.35
low_communication_min = 0.5
low_communication_inner_steps = 7
)",
                               "plan.toml");
  Plan expected;
  expected.name = "all-keys_1.0";
  expected.path = "plan.toml";
  expected.text = plan.text;
  expected.sites = {{"A", {"a[1-4]", "10.0.0.1"}, 2}, {"B", {"b[01-05]"}, 2, {"b06"}}};
  expected.legs = {{"both", LegKind::joint, {SiteId(1), SiteId(0)}},
                   {"B-alone", LegKind::baseline, {SiteId(1)}},
                   {"A-alone", LegKind::baseline, {SiteId(0)}}};
  expected.workload = {"transformer",
                       {"inline", 2, 64, 96, 4, 2, 16, 100, false},
                       WorkloadDtype::bf16,
                       128,
                       3,
                       4,
                       2,
                       5000000000U,
                       false};
  expected.compute = {ComputeBackend::cuda, "openblas:SkylakeX", GraphCapture::on, 12.0, 0.5};
  expected.fabric = {FabricBackend::nccl, Progress::spin, AllReduce::hierarchical, 8, 4, true};
  expected.links = {1e-6, 50.0, 0.005, 12.5};
  expected.run = {70, 0, 3, 9};
  expected.validation = {1.0, 17};
  expected.deadlines = {1.5, 2.0, 2.5, 2.75, 3.0, 3.5, 7.0, 1.0, 5.0, 4.0};
  expected.recovery = {RestartPolicy::spare, 7, 0.5, 20, "/scratch", 16.0};
  expected.probes = {8.0};
  expected.health = {0.5};
  Drill degrade;
  degrade.kind = DrillKind::degrade;
  degrade.leg = "both";
  degrade.round = 2;
  degrade.step = 9;
  degrade.after_s = 0.25;
  degrade.for_s = 3.0;
  degrade.between = {"B", "A"};
  degrade.settings = {"loss=1%", "rtt=20ms"};
  Drill slow;
  slow.kind = DrillKind::slow;
  slow.leg = "A-alone";
  slow.rank = 3;
  slow.factor = 2.5;
  expected.drills = {degrade, slow};
  expected.mpi.mpirun_args = {"--bind-to", "core"};
  expected.mpi.mca = {
      {"btl_tcp_if_include", "eth0"}, {"btl_tcp_eager_limit", "8388608"}, {"mpi_yield_when_idle", "1"}};
  expected.criteria = {Grade::a_plus, 0.9, 210, 0.9, 0.8, 0.7, 3.0, 2.0, 0.2, 0.3, 0.4, 0.6, 0.35, 0.5, 7};
  EXPECT_EQ(plan, expected);
}

TEST(Load, WhatIsLeftOutHasTheDefaultOfThePlansTypes) {
  const Plan plan = parse_plan(kByHost, "plan.toml");
  EXPECT_EQ(plan.placement, Placement::by_host);
  EXPECT_EQ(plan.compute, Compute{});
  EXPECT_EQ(plan.fabric, Fabric{});
  EXPECT_EQ(plan.links, Links{});
  EXPECT_EQ(plan.validation, Validation{});
  EXPECT_EQ(plan.deadlines, Deadlines{});
  EXPECT_EQ(plan.mpi, Mpi{});
  EXPECT_EQ(plan.criteria, Criteria{});
  EXPECT_EQ(plan.run.warmup_steps, plan::Run{}.warmup_steps);
  EXPECT_EQ(plan.workload.model.name, "tiny");
  EXPECT_EQ(plan.workload.model.layers, 6U);
}

TEST(Load, WithoutLegsEachSiteIsABaselineAndAllAreJoint) {
  const Plan plan = parse_plan(kByHost, "plan.toml");
  EXPECT_THAT(plan.legs,
              ElementsAre(Leg{"A", LegKind::baseline, {SiteId(0)}}, Leg{"B", LegKind::baseline, {SiteId(1)}},
                          Leg{"joint", LegKind::joint, {SiteId(0), SiteId(1)}}));
}

TEST(Load, TextIsTheFileByteForByteAndGivesAnEqualPlan) {
  const std::string text = "# a comment\n" + kByHost + "\n\n# and one at the end, without a line end";
  const Plan plan = parse_plan(text, "plan.toml");
  EXPECT_EQ(plan.text, text);
  EXPECT_EQ(parse_plan(plan.text, "plan.toml"), plan);
}

TEST(Load, ReadsAFileAndNamesItInMessages) {
  const std::string path = testing::TempDir() + "lockstep_plan_" + std::to_string(::getpid()) + ".toml";
  std::ofstream(path) << kColocated;
  EXPECT_EQ(load_plan(path).path, path);
  EXPECT_EQ(load_plan(path).text, kColocated);
  std::ofstream(path) << edited(kColocated, "slots", "slot");
  try {
    static_cast<void>(load_plan(path));
    ADD_FAILURE() << "a wrong key was accepted";
  } catch (const InputError& error) {
    EXPECT_EQ(error.problem().file, path);
    EXPECT_EQ(error.problem().line, 5);
  }
  std::remove(path.c_str());
  EXPECT_THROW(static_cast<void>(load_plan(path)), InputError);
}

TEST(Load, AKeyThatIsSetIsToldFromADefault) {
  EXPECT_FALSE(sets_key(parse_plan(kColocated, "plan.toml"), "links.wan_gbps"));
  const std::vector<std::string> overrides = {"links.wan_gbps=1.0"};
  EXPECT_TRUE(sets_key(parse_plan(kColocated, "plan.toml", overrides), "links.wan_gbps"))
      << "also when it is the default";
}

TEST(Load, AThousandHostsAndALargeModelAreNoProblem) {
  std::string text = edited(kByHost, "a[1-4]", "a[00001-12500]");
  text = edited(text, "b[1-2]", "rack[1-125]-n[1-100]");
  text = edited(text, "slots = 2", "slots = 8");
  text = edited(text, "slots = 4", "slots = 8");
  text = edited(text, "\"tiny\"", "\"405B\"\ntensor_parallel = 8\nmicro_batches = 64");
  text = edited(text, "sequence_length = 128", "sequence_length = 131072");
  const Plan plan = parse_plan(text, "plan.toml");
  EXPECT_EQ(declared_ranks(plan, plan.legs[2]), 200000U);
}

}  // namespace
}  // namespace lockstep::plan
