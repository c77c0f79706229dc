#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/campaign/sample_survey.hpp"

namespace lockstep::campaign {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

class DoctorHosts : public testing::Test {
 protected:
  plan::Plan plan_ = careful_plan();
  Survey survey_ = healthy_survey(plan_);
  [[nodiscard]] std::vector<Finding> found(const char* kind) const {
    return of_kind(examine(plan_, survey_), kind);
  }
};

TEST_F(DoctorHosts, AHealthyClusterHasNoFindings) {
  EXPECT_THAT(examine(plan_, survey_), IsEmpty());
}

TEST_F(DoctorHosts, ASilentHostIsNamedWithItsReason) {
  survey_.hosts[2].facts.reset();
  survey_.hosts[2].trouble = "ssh: no route to host";
  std::erase_if(survey_.paths, [](const PathReport& path) { return path.from == 2 || path.to == 2; });
  const auto silent = found("no-answer");
  ASSERT_THAT(silent, SizeIs(1));
  EXPECT_EQ(silent[0].severity, Severity::error);
  EXPECT_THAT(silent[0].hosts, ElementsAre("h2"));
  EXPECT_THAT(silent[0].what, HasSubstr("ssh: no route to host"));
}

TEST_F(DoctorHosts, AHostLostInTheMiddleIsNamed) {
  survey_.hosts[1].trouble = "its probe stopped answering";
  EXPECT_THAT(found("lost-host"), SizeIs(1));
  EXPECT_THAT(found("no-answer"), IsEmpty());
}

TEST_F(DoctorHosts, OneHostUnderTwoNames) {
  survey_.hosts[1].facts = survey_.hosts[0].facts;
  const auto duplicates = found("duplicate-host");
  ASSERT_THAT(duplicates, SizeIs(1));
  EXPECT_THAT(duplicates[0].hosts, ElementsAre("h0", "h1"));
  EXPECT_THAT(distinct_hosts(survey_), ElementsAre(0U, 2U, 3U));
}

TEST_F(DoctorHosts, HostsInNamespacesOfOneKernelAreNoDuplicates) {
  for (std::uint32_t i = 0; i < 4; ++i) {
    survey_.hosts[i].facts->boot_id = "one";
    survey_.hosts[i].facts->network_namespace = fmt::format("net:[{}]", i);
    survey_.hosts[i].facts->cpu_list = "0-63";
  }
  EXPECT_THAT(found("duplicate-host"), IsEmpty());
  const auto shared = found("one-machine");
  ASSERT_THAT(shared, SizeIs(1));
  EXPECT_EQ(shared[0].severity, Severity::note);
  EXPECT_THAT(shared[0].sites, ElementsAre("A", "B"));
  EXPECT_THAT(found("oversubscribed"), IsEmpty());
}

TEST_F(DoctorHosts, HostsOfOneKernelShareItsCores) {
  for (std::uint32_t i = 0; i < 4; ++i) {
    survey_.hosts[i].facts->boot_id = "one";
    survey_.hosts[i].facts->network_namespace = fmt::format("net:[{}]", i);
  }
  // 4 hosts of 4 slots, and 8 cores in all.
  const auto over = found("oversubscribed");
  ASSERT_THAT(over, SizeIs(1));
  EXPECT_EQ(over[0].severity, Severity::error);
  EXPECT_THAT(over[0].what, HasSubstr("16 ranks on 8 usable cores"));
}

TEST_F(DoctorHosts, PacedComputeMayShareCores) {
  plan_ = careful_plan({"compute.backend=paced", "compute.paced_gflops=1", "compute.paced_memory_gbps=1"});
  survey_.hosts[0].facts->cpu_list = "0";
  const auto over = found("oversubscribed");
  ASSERT_THAT(over, SizeIs(1));
  EXPECT_EQ(over[0].severity, Severity::note);
}

TEST_F(DoctorHosts, ACgroupLimitsTheCores) {
  survey_.hosts[3].facts->cgroup_cpus = 2.5;
  const auto over = found("oversubscribed");
  ASSERT_THAT(over, SizeIs(1));
  EXPECT_THAT(over[0].hosts, ElementsAre("h3"));
  EXPECT_THAT(over[0].what, HasSubstr("4 ranks on 2.5 usable cores"));
}

TEST_F(DoctorHosts, FewOpenFilesAndABusyHost) {
  survey_.hosts[0].facts->open_files = 64;
  survey_.hosts[2].facts->load_average = 9.0;
  ASSERT_THAT(found("open-files"), SizeIs(1));
  EXPECT_THAT(found("open-files")[0].hosts, ElementsAre("h0"));
  ASSERT_THAT(found("busy-host"), SizeIs(1));
  EXPECT_THAT(found("busy-host")[0].hosts, ElementsAre("h2"));
}

TEST_F(DoctorHosts, NoAddressThatTheTransportWouldUse) {
  plan_ = careful_plan({"mpi.mca.btl_tcp_if_include=10.0.0.0/24"});
  survey_.hosts[1].facts->addresses[1].address = "10.9.0.1";
  const auto without = found("no-address");
  ASSERT_THAT(without, SizeIs(1));
  EXPECT_THAT(without[0].hosts, ElementsAre("h1"));
  EXPECT_THAT(without[0].what, HasSubstr("10.0.0.0/24"));
}

TEST_F(DoctorHosts, TheOddHostOutIsNamed) {
  survey_.hosts[3].facts->software["lockstep-rank sha256"] = "0123456789abcdef0123";
  const auto different = found("different-software");
  ASSERT_THAT(different, SizeIs(1));
  EXPECT_EQ(different[0].severity, Severity::error);
  EXPECT_THAT(different[0].hosts, ElementsAre("h3"));
  EXPECT_EQ(different[0].what, "lockstep-rank sha256: 0123456789ab on h3; bb on the other 3 hosts");
}

TEST_F(DoctorHosts, WithoutAMajorityBothSidesAreNamed) {
  for (const std::size_t i : {2U, 3U})
    survey_.hosts[i].facts->software["Open MPI"] = "5.0.3";
  const auto different = found("different-software");
  ASSERT_THAT(different, SizeIs(1));
  EXPECT_THAT(different[0].hosts, ElementsAre("h0", "h1", "h2", "h3"));
  EXPECT_EQ(different[0].what, "Open MPI: 4.1.4 on h0, h1; 5.0.3 on h2, h3");
}

TEST_F(DoctorHosts, AnotherKernelIsANote) {
  survey_.hosts[0].facts->software["kernel"] = "6.5";
  ASSERT_THAT(found("different-software"), SizeIs(1));
  EXPECT_EQ(found("different-software")[0].severity, Severity::note);
}

TEST_F(DoctorHosts, ProgramsThatCannotStart) {
  survey_.hosts[0].facts->rank_program_error = "/opt/lockstep-rank is not there, or cannot be executed";
  survey_.hosts[1].facts->missing_libraries = {"libmpi.so.40"};
  ASSERT_THAT(found("no-rank-program"), SizeIs(1));
  ASSERT_THAT(found("missing-library"), SizeIs(1));
  EXPECT_THAT(found("missing-library")[0].what, HasSubstr("lockstep-rank on h1 lacks libmpi.so.40"));
}

TEST_F(DoctorHosts, AWrongClockIsNamedAndTheRightOnesAreNot) {
  for (std::uint32_t j : {0U, 1U, 3U}) {
    path_of(survey_, 2, j).trips->clock_offset_s = -7.0;  // the others minus h2
    path_of(survey_, j, 2).trips->clock_offset_s = 7.0;
  }
  const auto off = found("clock-offset");
  ASSERT_THAT(off, SizeIs(1));
  EXPECT_THAT(off[0].hosts, ElementsAre("h2"));
  EXPECT_THAT(off[0].what, HasSubstr("7.00 s ahead of"));
}

TEST_F(DoctorHosts, OfTwoClocksNobodyKnowsWhichIsWrong) {
  survey_ = survey_of(plan_, {SiteId(0), SiteId(1)}, {0, 1});
  path_of(survey_, 0, 1).trips->clock_offset_s = 0.2;
  path_of(survey_, 1, 0).trips->clock_offset_s = -0.2;
  const auto off = found("clock-offset");
  ASSERT_THAT(off, SizeIs(2));
  EXPECT_THAT(off[0].what, HasSubstr("which of them is right cannot be told"));
  EXPECT_THAT(off[0].what, HasSubstr("behind"));
  EXPECT_THAT(off[1].what, HasSubstr("ahead of"));
}

TEST_F(DoctorHosts, AnOffsetWithinItsBoundAccusesNobody) {
  for (PathReport& path : survey_.paths) {
    if (path.from == 2 || path.to == 2) {
      path.trips->clock_offset_s = path.from == 2 ? -0.08 : 0.08;
      path.trips->clock_bound_s = 0.05;
    }
  }
  EXPECT_THAT(found("clock-offset"), IsEmpty());
}

TEST_F(DoctorHosts, AnUndisciplinedClockMattersBetweenMachines) {
  survey_.hosts[1].facts->clock_state = "not synchronised";
  ASSERT_THAT(found("clock-not-synchronised"), SizeIs(1));
  EXPECT_THAT(found("clock-not-synchronised")[0].hosts, ElementsAre("h1"));
  for (std::uint32_t i = 0; i < 4; ++i) {
    survey_.hosts[i].facts->boot_id = "one";
    survey_.hosts[i].facts->network_namespace = fmt::format("net:[{}]", i);
  }
  EXPECT_THAT(found("clock-not-synchronised"), IsEmpty());
}

TEST_F(DoctorHosts, ASlowClockSource) {
  survey_.hosts[0].facts->clock_source = "hpet";
  ASSERT_THAT(found("slow-clock"), SizeIs(1));
  EXPECT_THAT(found("slow-clock")[0].what, HasSubstr("hpet on h0"));
}

TEST(DoctorColocated, OneHostForAllSites) {
  const plan::Plan plan = colocated_plan();
  const Survey survey = survey_of_one_machine(plan, healthy_facts(0));
  const auto findings = examine(plan, survey);
  EXPECT_THAT(of_kind(findings, "one-machine"), SizeIs(1));
  EXPECT_THAT(of_kind(findings, "duplicate-host"), IsEmpty());
  EXPECT_THAT(findings, SizeIs(1));
}

TEST(DoctorFindings, WorstFirst) {
  const plan::Plan plan = by_host_plan();  // its eager limit is a warning
  Survey survey = healthy_survey(plan);
  survey.hosts[0].facts->software["kernel"] = "6.5";
  block(survey, 0, 2);
  const auto findings = examine(plan, survey);
  ASSERT_THAT(findings, SizeIs(3));
  EXPECT_EQ(findings[0].kind, "unreachable");
  EXPECT_EQ(findings[1].kind, "eager-limit");
  EXPECT_EQ(findings[2].kind, "different-software");
  for (const Finding& finding : findings) {
    EXPECT_NE(finding.why, "");
    EXPECT_NE(finding.advice, "");
  }
}

}  // namespace
}  // namespace lockstep::campaign
