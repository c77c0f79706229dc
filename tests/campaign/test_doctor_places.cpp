#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/campaign/sample_survey.hpp"

namespace lockstep::campaign {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

const SiteId kA(0);
const SiteId kB(1);
const SiteId kC(2);

std::vector<Finding> misplaced(const plan::Plan& plan, const Survey& survey) {
  return of_kind(examine(plan, survey), "misplaced-host");
}

plan::Plan three_sites() {
  plan::Plan plan = careful_plan();
  plan::Site third = plan.sites[1];
  third.name = "C";
  plan.sites.push_back(third);
  return plan;
}

TEST(DoctorPlaces, ATrueMapAccusesNobody) {
  const plan::Plan plan = careful_plan();
  EXPECT_THAT(misplaced(plan, healthy_survey(plan)), IsEmpty());
}

TEST(DoctorPlaces, AHostThatSitsElsewhereIsNamedWithWhere) {
  const plan::Plan plan = careful_plan();
  const Survey survey = survey_of(plan, {kA, kA, kA, kB, kB}, {0, 0, 1, 1, 1});
  const auto found = misplaced(plan, survey);
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_EQ(found[0].severity, Severity::error);
  EXPECT_THAT(found[0].hosts, ElementsAre("h2"));
  EXPECT_THAT(found[0].sites, ElementsAre("A", "B"));
  EXPECT_THAT(found[0].what, HasSubstr("10.0 ms to the hosts of A, 50.0 us to those of B"));
}

TEST(DoctorPlaces, OneOfTwoIsNamedAndNotItsNeighbours) {
  const plan::Plan plan = careful_plan();
  const auto found = misplaced(plan, survey_of(plan, {kA, kA, kB, kB}, {0, 1, 1, 1}));
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_THAT(found[0].hosts, ElementsAre("h1"));
}

TEST(DoctorPlaces, TwoSwappedHostsAreTwoFindings) {
  const plan::Plan plan = careful_plan();
  const auto found = misplaced(plan, survey_of(plan, {kA, kA, kA, kB, kB, kB}, {0, 0, 1, 0, 1, 1}));
  ASSERT_THAT(found, SizeIs(2));
  EXPECT_THAT(found[0].hosts, ElementsAre("h2"));
  EXPECT_THAT(found[1].hosts, ElementsAre("h3"));
}

TEST(DoctorPlaces, OfThreeSitesTheNearestIsTold) {
  const plan::Plan plan = three_sites();
  const auto found = misplaced(plan, survey_of(plan, {kA, kA, kB, kB, kC, kC, kA}, {0, 0, 1, 1, 2, 2, 2}));
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_THAT(found[0].hosts, ElementsAre("h6"));
  EXPECT_THAT(found[0].sites, ElementsAre("A", "C"));
}

TEST(DoctorPlaces, NearSitesOfAFarThirdAreNotOnePlace) {
  const plan::Plan plan = three_sites();
  Survey survey = survey_of(plan, {kA, kA, kB, kB, kC, kC}, {0, 0, 1, 1, 2, 2});
  for (PathReport& path : survey.paths) {
    // A and B are 0.5 ms apart, C is 10 ms away from both.
    if (path.from < 4 && path.to < 4 && path.trips->min_s > kInsideS)
      path.trips->min_s = path.trips->p50_s = 0.5e-3;
  }
  EXPECT_THAT(examine(plan, survey), IsEmpty());
}

TEST(DoctorPlaces, AHostWithAnOverloadedCoreIsNotMoved) {
  const plan::Plan plan = careful_plan();
  Survey survey = healthy_survey(plan);
  // Its round trips inside are five times the usual; those to the other site are still far longer.
  for (PathReport& path : survey.paths) {
    if (path.from == 1 || path.to == 1)
      path.trips->min_s += 0.2e-3;
  }
  EXPECT_THAT(misplaced(plan, survey), IsEmpty());
}

TEST(DoctorPlaces, NoiseAccusesNobody) {
  const plan::Plan plan = careful_plan();
  Survey survey = survey_of(plan, {kA, kA, kA, kB, kB, kB}, {0, 0, 0, 0, 0, 0});
  double time_s = 100e-6;
  for (PathReport& path : survey.paths) {
    // From 100 to 400 us at random places, and typical round trips 150 us above the shortest.
    time_s = 100e-6 + static_cast<double>((path.from * 37 + path.to * 101) % 13) * 25e-6;
    path.trips->min_s = time_s;
    path.trips->p50_s = time_s + 150e-6;
  }
  EXPECT_THAT(misplaced(plan, survey), IsEmpty());
}

TEST(DoctorPlaces, SitesSixteenKilometresApartAreNotOnePlaceForTheJitterOfOthers) {
  const plan::Plan plan = three_sites();
  Survey survey = survey_of(plan, {kA, kA, kB, kB, kC, kC}, {0, 0, 1, 1, 2, 2});
  for (PathReport& path : survey.paths) {
    if (path.from < 4 && path.to < 4 && path.trips->min_s > kInsideS)
      path.trips->min_s = 0.22e-3;
    path.trips->p50_s = path.trips->min_s + 0.4e-3;
  }
  EXPECT_THAT(of_kind(examine(plan, survey), "one-place"), IsEmpty());
}

TEST(DoctorPlaces, TwoSitesAtOnePlace) {
  const plan::Plan plan = careful_plan();
  const auto found = of_kind(examine(plan, survey_of(plan, {kA, kA, kB, kB}, {0, 0, 0, 0})), "one-place");
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_EQ(found[0].severity, Severity::warning);
  EXPECT_THAT(found[0].sites, ElementsAre("A", "B"));
}

TEST(DoctorPlaces, SingleHostsAreComparedWithTheSpeedOfLight) {
  const plan::Plan plan = careful_plan();
  Survey survey = survey_of(plan, {kA, kB}, {0, 1});
  EXPECT_THAT(of_kind(examine(plan, survey), "one-place"), IsEmpty());
  for (PathReport& path : survey.paths)
    path.trips->min_s = 20e-6;
  EXPECT_THAT(of_kind(examine(plan, survey), "one-place"), SizeIs(1));
}

}  // namespace
}  // namespace lockstep::campaign
