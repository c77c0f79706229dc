#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "harness/campaign/host_facts.hpp"
#include "harness/campaign/survey_messages.hpp"
#include "tests/campaign/sample_survey.hpp"
#include "tests/placement/dgx.hpp"

namespace lockstep::campaign {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

/// Four GPUs as the plan's hosts have ranks; CPUs 0-7, the second half of the GPUs at the second half of the
/// CPUs.
void give_gpus(HostFacts& facts, std::uint32_t count = 4) {
  facts.gpus.clear();
  for (std::uint32_t i = 0; i < count; ++i)
    facts.gpus.push_back(
        {fmt::format("0000:0{}:00.0", i), "NVIDIA H200", i < count / 2 ? "0-3" : "4-7", "", true});
  facts.gpus_usable = count;
  facts.software["GPUs"] = fmt::format("{} x NVIDIA H200", count);
  facts.software["NVIDIA driver"] = "580.82.07";
}

class DoctorGpus : public testing::Test {
 protected:
  DoctorGpus() {
    for (SurveyedHost& host : survey_.hosts)
      give_gpus(*host.facts);
  }
  [[nodiscard]] std::vector<Finding> found(const char* kind) const {
    return of_kind(examine(plan_, survey_), kind);
  }
  HostFacts& facts(std::size_t host) { return *survey_.hosts[host].facts; }
  plan::Plan plan_ = careful_plan({"compute.backend=cuda", "fabric.backend=nccl"});
  Survey survey_ = healthy_survey(plan_);
};

TEST_F(DoctorGpus, AHealthyClusterHasNoFindings) {
  EXPECT_THAT(examine(plan_, survey_), IsEmpty());
}

TEST_F(DoctorGpus, PlansWithoutGpusDoNotLook) {
  plan_ = careful_plan();
  facts(0).gpus.clear();
  facts(1).software["NVIDIA driver"] = "1.0";
  EXPECT_THAT(examine(plan_, survey_), IsEmpty());
}

TEST_F(DoctorGpus, AHostWithoutGpus) {
  facts(2).gpus.clear();
  facts(2).gpus_usable = 0;
  const auto none = found("no-gpu");
  ASSERT_THAT(none, SizeIs(1));
  EXPECT_EQ(none[0].severity, Severity::error);
  EXPECT_THAT(none[0].hosts, ElementsAre("h2"));
  EXPECT_THAT(found("too-few-gpus"), IsEmpty()) << "said once";
}

TEST_F(DoctorGpus, AHostWithoutADriver) {
  facts(1).software.erase("NVIDIA driver");
  const auto none = found("no-gpu-driver");
  ASSERT_THAT(none, SizeIs(1));
  EXPECT_EQ(none[0].severity, Severity::error);
  EXPECT_THAT(none[0].what, HasSubstr("4 GPUs on h1"));
}

TEST_F(DoctorGpus, FewerVisibleGpusThanRanks) {
  facts(0).gpus_usable = 2;
  facts(0).gpus[2].visible = facts(0).gpus[3].visible = false;
  const auto few = found("too-few-gpus");
  ASSERT_THAT(few, SizeIs(1));
  EXPECT_EQ(few[0].severity, Severity::error);
  EXPECT_EQ(few[0].what, "4 ranks and 2 visible GPUs (of 4, by CUDA_VISIBLE_DEVICES) on h0");
}

TEST_F(DoctorGpus, RanksThatShareAGpuByThePlanAreMeantTo) {
  plan_ = careful_plan({"compute.backend=cuda", "fabric.backend=nccl", "fabric.share_gpu=true"});
  facts(0).gpus_usable = 1;
  EXPECT_THAT(found("too-few-gpus"), IsEmpty());
  facts(0).gpus_usable = 0;
  EXPECT_THAT(found("too-few-gpus"), SizeIs(1)) << "there is none to share";
}

TEST_F(DoctorGpus, MoreGpusThanRanks) {
  give_gpus(facts(3), 8);
  const auto idle = found("idle-gpus");
  ASSERT_THAT(idle, SizeIs(1));
  EXPECT_EQ(idle[0].severity, Severity::note);
  EXPECT_EQ(idle[0].what, "4 ranks and 8 visible GPUs on h3");
  const auto different = found("different-software");
  ASSERT_THAT(different, SizeIs(1));
  EXPECT_EQ(different[0].what, "GPUs: 8 x NVIDIA H200 on h3; 4 x NVIDIA H200 on the other 3 hosts");
}

TEST_F(DoctorGpus, HostsOfOneKernelShareItsGpus) {
  for (std::size_t i = 0; i < 4; ++i) {
    facts(i).boot_id = "one";
    facts(i).network_namespace = fmt::format("net:[{}]", i);
    facts(i).cpu_list = "0-7";
  }
  const auto few = found("too-few-gpus");
  ASSERT_THAT(few, SizeIs(1));
  EXPECT_THAT(few[0].what, HasSubstr("16 ranks and 4 visible GPUs"));
}

TEST_F(DoctorGpus, CoresAwayFromTheGpus) {
  facts(1).cpu_list = "0-3";
  const auto far = found("gpu-far-from-cores");
  ASSERT_THAT(far, SizeIs(1));
  EXPECT_THAT(far[0].hosts, ElementsAre("h1"));
  EXPECT_THAT(far[0].what,
              AllOf(HasSubstr("0000:02:00.0, 0000:03:00.0"), HasSubstr("CPUs 4-7"), HasSubstr("0-3")));
  facts(1).gpus[2].visible = facts(1).gpus[3].visible = false;
  EXPECT_THAT(found("gpu-far-from-cores"), IsEmpty()) << "what no rank uses may be far";
  for (HostGpu& gpu : facts(1).gpus)
    gpu = {gpu.bus_id, gpu.model, "", "", true};
  EXPECT_THAT(found("gpu-far-from-cores"), IsEmpty()) << "where the machine does not say";
}

TEST_F(DoctorGpus, DriversDiffer) {
  facts(2).software["NVIDIA driver"] = "570.10";
  const auto different = found("different-software");
  ASSERT_THAT(different, SizeIs(1));
  EXPECT_EQ(different[0].what, "NVIDIA driver: 570.10 on h2; 580.82.07 on the other 3 hosts");
}

TEST_F(DoctorGpus, AVariableThatNamesNoGpu) {
  facts(0).gpu_problem = "CUDA_VISIBLE_DEVICES=9: there is no GPU 9";
  const auto wrong = found("visible-devices");
  ASSERT_THAT(wrong, SizeIs(1));
  EXPECT_THAT(wrong[0].what, HasSubstr("there is no GPU 9"));
}

TEST(DescribeGpus, JoinsWhatHwlocAndTheDriverSay) {
  const placement::HostMap map = placement::dgx();
  HostFacts facts;
  placement::GpuEnvironment environment;
  environment.cuda_visible_devices = "1,4";
  // The driver lists one that hwloc does not see, and knows the model of one that it does.
  describe_gpus(map,
                {{"0000:ff:00.0", "GPU-f", "NVIDIA H200"}, {placement::dgx_gpu(4), "GPU-4", "NVIDIA H200"}},
                environment, facts);
  ASSERT_THAT(facts.gpus, SizeIs(9));
  EXPECT_EQ(facts.gpus_usable, 2U);
  EXPECT_EQ(facts.gpus[4].model, "NVIDIA H200");
  EXPECT_EQ(facts.gpus[4].cpus, "8-15");
  EXPECT_EQ(facts.gpus[4].nics, "mlx5_4 (same PCI switch)");
  EXPECT_TRUE(facts.gpus[4].visible);
  EXPECT_FALSE(facts.gpus[0].visible);
  EXPECT_EQ(facts.gpus[0].model, "");
  EXPECT_EQ(facts.gpus[8].bus_id, "0000:ff:00.0");
  EXPECT_EQ(facts.gpus[8].cpus, "");
}

TEST(DescribeGpus, GoesThroughTheSurveysMessages) {
  ProbeAnswer answer;
  answer.facts.emplace();
  give_gpus(*answer.facts, 2);
  answer.facts->gpus[1].visible = false;
  answer.facts->gpu_problem = "a problem";
  const ProbeAnswer back = answer_of(to_line(answer));
  ASSERT_TRUE(back.facts);
  ASSERT_THAT(back.facts->gpus, SizeIs(2));
  EXPECT_EQ(back.facts->gpus[1].bus_id, "0000:01:00.0");
  EXPECT_FALSE(back.facts->gpus[1].visible);
  EXPECT_EQ(back.facts->gpus_usable, 2U);
  EXPECT_EQ(back.facts->gpu_problem, "a problem");
}

}  // namespace
}  // namespace lockstep::campaign
