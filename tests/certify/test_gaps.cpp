#include <functional>
#include <ostream>
#include <utility>

#include <gmock/gmock.h>

#include "harness/certify/certificate.hpp"
#include "harness/certify/gaps.hpp"
#include "harness/step/stamps.hpp"
#include "tests/certify/synthetic_evidence.hpp"

namespace lockstep::certify {
namespace {

using record::Evidence;
using testing::Contains;
using testing::HasSubstr;
using tests::launch_of;

/// Evidence that would earn A+ is spoiled in one way; the verdict must be inconclusive and say why.
struct GapCase {
  const char* name;
  std::function<void(Evidence&, plan::Plan&)> spoil;
  const char* gap;
};

std::ostream& operator<<(std::ostream& out, const GapCase& c) {
  return out << c.name;
}

class Gaps : public testing::TestWithParam<GapCase> {};

TEST_P(Gaps, MakeTheVerdictInconclusive) {
  const tests::Scenario scenario;
  plan::Plan plan = tests::make_plan(scenario);
  Evidence evidence = tests::make_evidence(scenario, plan);
  ASSERT_EQ(make_certificate(evidence, plan, "h").grade, plan::Grade::a_plus);
  GetParam().spoil(evidence, plan);
  const Certificate certificate = make_certificate(evidence, plan, "h");
  EXPECT_EQ(certificate.grade, plan::Grade::inconclusive);
  EXPECT_FALSE(certificate.certified);
  EXPECT_EQ(exit_code(certificate), ExitCode::inconclusive);
  EXPECT_THAT(certificate.gaps, Contains(HasSubstr(GetParam().gap)));
}

std::uint32_t joint_of(const Evidence& evidence) {
  return launch_of(evidence, "joint", 1);
}

INSTANTIATE_TEST_SUITE_P(
    Synthetic, Gaps,
    testing::Values(
        GapCase{"TooFewSteps", [](Evidence&, plan::Plan& plan) { plan.criteria.min_steps = 241; },
                "leg A has 240 steady steps, 241 are needed"},
        GapCase{"FewerStepsThanPlanned", [](Evidence&, plan::Plan& plan) { ++plan.run.steps; },
                "had 60 steps after 3 to warm up, the plan says 61 after 3"},
        GapCase{"FewerRanksThanPlanned", [](Evidence&, plan::Plan& plan) { ++plan.sites[1].slots; },
                "the plan says"},
        GapCase{"RanksOfAnotherSite",
                [](Evidence& e, plan::Plan&) {
                  for (record::RankRow& row : e.ranks)
                    if (row.leg == launch_of(e, "A", 1))
                      row.site = "B";
                },
                "had ranks of other sites than its own"},
        GapCase{"ABaselineLaunchedTwice",
                [](Evidence& e, plan::Plan&) {
                  record::LegRow earlier = e.legs[launch_of(e, "A", 1)];
                  for (record::LegRow& row : e.legs)
                    if (row.leg == earlier.leg)
                      row.attempt = 1;
                  earlier.leg = 1000;
                  e.legs.push_back(earlier);
                },
                "leg A was launched 2 times in round 1"},
        GapCase{"StepsOfOneRankMissing",
                [](Evidence& e, plan::Plan&) {
                  std::erase_if(e.steps, [&](const record::StepRow& row) {
                    return row.leg == joint_of(e) && row.rank == 1 && row.step > 60;
                  });
                },
                "58 of 60 steady steps are recorded on every rank"},
        GapCase{"RoundMissing",
                [](Evidence& e, plan::Plan&) {
                  const std::uint32_t leg = launch_of(e, "B", 3);
                  tests::drop_launch_rows(e, leg);
                  std::erase_if(e.legs, [&](const record::LegRow& row) { return row.leg == leg; });
                },
                "leg B was not launched in round 3"},
        GapCase{"BaselinesDisturbed", [](Evidence&, plan::Plan& plan) { plan.criteria.eta_max = 0.5; },
                "the baselines were disturbed"},
        GapCase{"OtherWayOfWaiting",
                [](Evidence& e, plan::Plan&) {
                  for (record::RankRow& row : e.ranks)
                    row.progress = row.leg == joint_of(e) ? "spin: alone" : "backoff: crowded";
                },
                "did not work in the same way in all launches"},
        GapCase{"OtherReasonForTheSameWay",
                [](Evidence& e, plan::Plan&) {
                  for (record::RankRow& row : e.ranks)
                    row.progress = row.leg == joint_of(e) ? "spin: alone" : "spin: crowded";
                  e.ranks.front().compute = "another kernel";
                },
                "another kernel"},
        GapCase{"BaselineMissing", [](Evidence&, plan::Plan& plan) { plan.legs.erase(plan.legs.begin()); },
                "no baseline leg of site A"},
        GapCase{"JointMissing", [](Evidence&, plan::Plan& plan) { plan.legs.pop_back(); },
                "the plan has no joint leg"},
        GapCase{"NotEnded",
                [](Evidence& e, plan::Plan&) {
                  std::erase_if(e.leg_ends,
                                [&](const record::LegEndRow& row) { return row.leg == joint_of(e); });
                },
                "leg joint (round 1, attempt 0) was cut short"},
        GapCase{"Interrupted",
                [](Evidence& e, plan::Plan&) { e.leg_ends[joint_of(e)].outcome = "interrupted"; },
                "was interrupted"},
        GapCase{"BaselineFailed",
                [](Evidence& e, plan::Plan&) {
                  e.leg_ends[launch_of(e, "A", 0)].outcome = "failed";
                  e.leg_ends[launch_of(e, "A", 0)].message = "rank 1 was killed";
                },
                "did not complete: rank 1 was killed"},
        GapCase{"JournalPartial",
                [](Evidence& e, plan::Plan&) {
                  for (record::RankRow& row : e.ranks)
                    if (row.leg == joint_of(e) && row.rank == 2)
                      row.state = "partial";
                },
                "only 3 of 4 journals are complete"},
        GapCase{"RankMissing",
                [](Evidence& e, plan::Plan&) {
                  std::erase_if(e.ranks, [&](const record::RankRow& row) {
                    return row.leg == joint_of(e) && row.rank == 2;
                  });
                },
                "only 3 of 4 journals are complete"},
        GapCase{"BinariesDiffer", [](Evidence& e, plan::Plan&) { e.ranks[5].binary_hash = "other"; },
                "2 different binaries"},
        GapCase{"PlansDiffer", [](Evidence& e, plan::Plan&) { e.ranks[5].plan_hash = "other"; },
                "2 different plans"},
        GapCase{"PlanIsNotTheOneThatRan", [](Evidence& e, plan::Plan&) { e.plan_text += "# easier\n"; },
                "is not the plan stored"},
        GapCase{"NoClock",
                [](Evidence& e, plan::Plan&) {
                  std::erase_if(e.clock, [&](const record::ClockRow& row) {
                    return row.leg == joint_of(e) && row.rank == 3;
                  });
                },
                "clock was not compared"},
        GapCase{"ClockComparedOnce",
                [](Evidence& e, plan::Plan&) {
                  bool kept = false;
                  std::erase_if(e.clock, [&](const record::ClockRow& row) {
                    const bool mine = row.leg == joint_of(e) && row.rank == 3;
                    return mine && std::exchange(kept, true);
                  });
                },
                "clock was not compared"},
        GapCase{"ClockBoundTooLarge",
                [](Evidence& e, plan::Plan&) {
                  for (record::ClockRow& row : e.clock)
                    row.bound_ns = 6'000'000;
                },
                "the common clock is known to 6.0 % of a step"},
        GapCase{"ClockBoundNotStated",
                [](Evidence& e, plan::Plan&) {
                  for (record::ClockRow& row : e.clock)
                    row.bound_ns = 0;
                },
                "error bound is not stated"},
        GapCase{"NothingChecked",
                [](Evidence& e, plan::Plan&) {
                  for (record::StepRow& row : e.steps)
                    if (row.leg == joint_of(e) && row.rank == 3)
                      row.flags &= ~static_cast<std::uint32_t>(step::kStepValidated);
                },
                "never checked"},
        GapCase{
            "Oversubscribed",
            [](Evidence& e, plan::Plan&) {
              e.provenance.push_back({static_cast<std::int32_t>(joint_of(e)), 2, "oversubscribed", "yes"});
            },
            "host host-B had more computing ranks than cores"},
        GapCase{"NothingCrossedTheSites",
                [](Evidence& e, plan::Plan&) {
                  for (record::GraphRow& row : e.graph)
                    row.spans_sites = 0;
                },
                "nothing was communicated between the sites"},
        GapCase{"CommunicationMissing",
                [](Evidence& e, plan::Plan&) {
                  std::erase_if(e.comms, [&](const record::CommRow& row) { return row.leg == joint_of(e); });
                },
                "is not recorded in every steady step"},
        GapCase{"UnequalWork",
                [](Evidence& e, plan::Plan&) {
                  for (record::RankRow& row : e.ranks)
                    if (row.leg == joint_of(e))
                      row.tokens_per_step = 8192.0;
                },
                "eta needs equal work per rank"},
        GapCase{"SiteWithOtherRanks",
                [](Evidence& e, plan::Plan&) {
                  for (record::RankRow& row : e.ranks)
                    if (row.leg == joint_of(e) && row.rank == 2)
                      row.site = "A";
                },
                "the legs cannot be compared"},
        GapCase{"OtherSites", [](Evidence& e, plan::Plan&) { e.legs[joint_of(e)].sites = "A"; },
                "ran on sites A as joint, the plan says A,B"},
        GapCase{"StepTwice", [](Evidence& e, plan::Plan&) { e.steps.push_back(e.steps.back()); },
                "is there twice"},
        GapCase{"LaunchAnnouncedTwice",
                [](Evidence& e, plan::Plan&) { e.legs.push_back(e.legs[joint_of(e)]); }, "announced twice"},
        GapCase{"TimeRunsBackwards",
                [](Evidence& e, plan::Plan&) {
                  for (record::StepRow& row : e.steps)
                    if (row.leg == joint_of(e) && row.step == 30)
                      row.end_ns -= 1'000'000'000;
                },
                "ends before it begins"},
        GapCase{"GraphsDiffer",
                [](Evidence& e, plan::Plan&) {
                  e.failures.push_back(
                      {.leg = joint_of(e), .rank = 1, .kind = "graph_mismatch", .message = ""});
                },
                "graph_mismatch"},
        GapCase{"Nothing",
                [](Evidence& e, plan::Plan&) {
                  const std::string text = e.plan_text;
                  e = Evidence{};
                  e.plan_text = text;
                },
                "leg joint was not launched in round 0"}),
    [](const testing::TestParamInfo<GapCase>& c) { return c.param.name; });

TEST(Gaps, PacedRanksMayShareCores) {
  const tests::Scenario scenario;
  const plan::Plan plan = tests::make_plan(scenario);
  Evidence evidence = tests::make_evidence(scenario, plan);
  for (record::RankRow& row : evidence.ranks)
    row.compute = "paced 50 GFLOP/s";
  evidence.provenance.push_back({0, 0, "oversubscribed", "yes"});
  const Certificate certificate = make_certificate(evidence, plan, "h");
  EXPECT_THAT(certificate.gaps, testing::IsEmpty());
  EXPECT_TRUE(certificate.is_rehearsal());  // the ranks say so, whatever the plan does
}

/// What local rank 0 of each host says of its kernel.
void boot(record::Evidence& evidence, const std::string& boot_of_b) {
  for (const record::RankRow& row : evidence.ranks) {
    if (row.local_rank == 0)
      evidence.provenance.push_back({static_cast<std::int32_t>(row.leg), static_cast<std::int32_t>(row.rank),
                                     "kernel.boot_id", row.site == "A" ? "boot-a" : boot_of_b});
  }
}

TEST(Gaps, SitesOnOneKernelAreARehearsal) {
  const tests::Scenario scenario;
  const plan::Plan plan = tests::make_plan(scenario);
  record::Evidence apart = tests::make_evidence(scenario, plan);
  boot(apart, "boot-b");
  EXPECT_FALSE(make_certificate(apart, plan, "h").is_rehearsal());
  record::Evidence together = tests::make_evidence(scenario, plan);
  boot(together, "boot-a");
  EXPECT_THAT(make_certificate(together, plan, "h").rehearsal_reasons,
              testing::ElementsAre(testing::HasSubstr("sites A, B ran on one kernel")));
}

TEST(Gaps, ARunInALabIsARehearsal) {
  const tests::Scenario scenario;
  const plan::Plan plan = tests::make_plan(scenario);
  record::Evidence evidence = tests::make_evidence(scenario, plan);
  evidence.provenance.push_back({0, 0, "env.LOCKSTEP_LAB", "metro"});
  EXPECT_THAT(make_certificate(evidence, plan, "h").rehearsal_reasons,
              testing::ElementsAre(testing::HasSubstr("emulated (lab metro)")));
}

TEST(Gaps, SitesThatShareAHostAreARehearsal) {
  const tests::Scenario scenario;
  const plan::Plan plan = tests::make_plan(scenario);
  Evidence evidence = tests::make_evidence(scenario, plan);
  ASSERT_FALSE(make_certificate(evidence, plan, "h").is_rehearsal());
  for (record::RankRow& row : evidence.ranks)
    row.host = "host-A";
  EXPECT_THAT(make_certificate(evidence, plan, "h").rehearsal_reasons,
              testing::ElementsAre("host host-A had ranks of more than one site"));
}

TEST(Gaps, ATailQuantileOfTooFewStepsIsUnknown) {
  const tests::Scenario scenario{.rounds = 2, .steps = 40};
  plan::Plan plan = tests::make_plan(scenario);
  plan.criteria.min_steps = 50;
  const Certificate certificate = make_certificate(tests::make_evidence(scenario, plan), plan, "h");
  EXPECT_THAT(certificate.gaps, testing::IsEmpty());
  EXPECT_EQ(certificate.grade, plan::Grade::inconclusive);
  EXPECT_THAT(certificate.reasons,
              Contains(HasSubstr("p99 / p50 of the joint step time could not be computed")));
}

}  // namespace
}  // namespace lockstep::certify
