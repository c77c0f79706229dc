#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "harness/plan/load.hpp"
#include "harness/plan/plan.hpp"
#include "tests/plan/plans.hpp"

namespace lockstep::plan {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

TEST(DeclaredRanks, AreHostsTimesSlots) {
  const Plan plan = parse_plan(kByHost, "plan.toml");
  EXPECT_EQ(declared_ranks(plan, SiteId(0)), 8U);
  EXPECT_EQ(declared_ranks(plan, SiteId(1)), 8U);
  EXPECT_EQ(declared_ranks(plan, plan.legs[0]), 8U);
  EXPECT_EQ(declared_ranks(plan, plan.legs[2]), 16U);
}

TEST(DeclaredRanks, OfColocatedSitesAreTheirSlots) {
  const Plan plan = parse_plan(edited(kColocated, "slots = 2", "slots = 3"), "plan.toml");
  EXPECT_EQ(declared_ranks(plan, SiteId(0)), 3U);
  EXPECT_EQ(declared_ranks(plan, plan.legs[2]), 5U);
}

TEST(DeclaredRanks, OfANetworkAreUnknown) {
  const Plan plan = parse_plan(edited(kByHost, "\"b[1-2]\"", "\"b[1-2]\", \"10.0.0.0/8\""), "plan.toml");
  EXPECT_EQ(declared_ranks(plan, SiteId(0)), 8U);
  EXPECT_EQ(declared_ranks(plan, SiteId(1)), std::nullopt);
  EXPECT_EQ(declared_ranks(plan, plan.legs[2]), std::nullopt);
}

TEST(RehearsalReasons, NameWhatIsNotReal) {
  EXPECT_THAT(rehearsal_reasons(parse_plan(kByHost, "plan.toml")), IsEmpty());
  EXPECT_THAT(rehearsal_reasons(parse_plan(kColocated, "plan.toml")),
              ElementsAre(HasSubstr("paced"), HasSubstr("colocated")));
  const std::string cpu = edited(kColocated, "\"paced\"", "\"cpu\"");
  EXPECT_THAT(rehearsal_reasons(parse_plan(cpu, "plan.toml")), ElementsAre(HasSubstr("colocated")));
  const std::string shared =
      edited(kByHost, "[run]",
             "[compute]\nbackend = \"cuda\"\n[fabric]\nbackend = \"nccl\"\nshare_gpu = true\n[run]");
  EXPECT_THAT(rehearsal_reasons(parse_plan(shared, "plan.toml")), ElementsAre(HasSubstr("shared a GPU")));
}

TEST(ChangedCriteria, AreThoseThatDifferFromTheDefaults) {
  EXPECT_THAT(
      changed_criteria(parse_plan(kColocated, "plan.toml", std::vector<std::string>{"criteria.eta_a=0.95"})),
      IsEmpty());
  EXPECT_THAT(
      changed_criteria(parse_plan(
          kColocated, "plan.toml",
          std::vector<std::string>{"criteria.tail_ratio_max=1.5", "criteria.required_grade=\"B\""})),
      ElementsAre("required_grade = \"B\" (by default \"A\")", "tail_ratio_max = 1.5 (by default 1.1)"));
}

TEST(ToString, SaysWhatAPlanAndACertificateSay) {
  EXPECT_STREQ(to_string(Grade::a_plus), "A+");
  EXPECT_STREQ(to_string(Grade::a), "A");
  EXPECT_STREQ(to_string(Grade::b), "B");
  EXPECT_STREQ(to_string(Grade::c), "C");
  EXPECT_STREQ(to_string(Grade::d), "D");
  EXPECT_STREQ(to_string(Grade::inconclusive), "I");
  EXPECT_STREQ(to_string(ComputeBackend::cpu), "cpu");
  EXPECT_STREQ(to_string(ComputeBackend::paced), "paced");
  EXPECT_STREQ(to_string(ComputeBackend::cuda), "cuda");
  EXPECT_STREQ(to_string(FabricBackend::mpi), "mpi");
  EXPECT_STREQ(to_string(FabricBackend::nccl), "nccl");
  EXPECT_STREQ(to_string(FabricBackend::cuda_aware), "cuda-aware");
  EXPECT_STREQ(to_string(FabricBackend::host_staged), "host-staged");
  EXPECT_STREQ(to_string(AllReduce::flat), "flat");
  EXPECT_STREQ(to_string(AllReduce::hierarchical), "hierarchical");
  EXPECT_STREQ(to_string(Progress::automatic), "auto");
  EXPECT_STREQ(to_string(Progress::spin), "spin");
  EXPECT_STREQ(to_string(Progress::backoff), "backoff");
  EXPECT_STREQ(to_string(Placement::by_host), "by_host");
  EXPECT_STREQ(to_string(Placement::colocated), "colocated");
  EXPECT_STREQ(to_string(LegKind::baseline), "baseline");
  EXPECT_STREQ(to_string(LegKind::joint), "joint");
}

}  // namespace
}  // namespace lockstep::plan
