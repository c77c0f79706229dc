#include <algorithm>
#include <string>

#include <gtest/gtest.h>

#include "harness/stats/throughput_ratio.hpp"
#include "tests/stats/synthetic.hpp"

namespace lockstep::stats {
namespace {

using tests::Campaign;
using tests::draw_campaign;
using tests::Noise;

TEST(Throughput, IsTotalWorkOverTotalTime) {
  // A mean of ratios would give (1/1 + 1/3)/2 = 0.667.
  EXPECT_DOUBLE_EQ(throughput({.work_per_step = 10.0, .rounds = {{1.0}, {3.0}}}), 5.0);
  EXPECT_DOUBLE_EQ(throughput({.work_per_step = 10.0, .rounds = {{}}}), 0.0);
}

TEST(ThroughputRatio, TakesTheBestBaselineAndItsWork) {
  const LegTimes joint{.work_per_step = 8.0, .rounds = {std::vector<double>(50, 2.0)}};
  const std::vector<LegTimes> baselines{{.work_per_step = 8.0, .rounds = {std::vector<double>(50, 1.9)}},
                                        {.work_per_step = 10.0, .rounds = {std::vector<double>(50, 2.0)}}};
  const ThroughputRatio ratio = ratio_to_best(joint, baselines);
  EXPECT_EQ(ratio.best, 1U);
  EXPECT_DOUBLE_EQ(ratio.value, 0.8);
  EXPECT_NEAR(ratio.low, 0.8, 1e-12);  // no scatter at all
  EXPECT_NEAR(ratio.high, 0.8, 1e-12);
  EXPECT_EQ(ratio.rounds, 1U);
}

TEST(ThroughputRatio, IsTheSameToTheLastDigitWhenRecomputed) {
  Random random(1);
  const Campaign campaign = draw_campaign(random, {1.0, 0.99}, 3, 100, {});
  const ThroughputRatio one = ratio_to_best(campaign.joint, campaign.baselines);
  const ThroughputRatio two = ratio_to_best(campaign.joint, campaign.baselines);
  EXPECT_EQ(one.low, two.low);
  EXPECT_EQ(one.high, two.high);
  EXPECT_LT(one.low, one.value);
  EXPECT_GT(one.high, one.value);
}

TEST(ThroughputRatio, DriftOfTheMachineCancels) {
  Random random(2);
  const Campaign still = draw_campaign(random, {0.9}, 4, 200, {.launch = 0.001});
  Random again(2);
  const Campaign drifting = draw_campaign(again, {0.9}, 4, 200, {.launch = 0.001}, 0.10);
  const ThroughputRatio a = ratio_to_best(still.joint, still.baselines);
  const ThroughputRatio b = ratio_to_best(drifting.joint, drifting.baselines);
  EXPECT_NEAR(b.value, a.value, 0.003);
  // Unpaired, a drift of 10 % a round would make the standard error about 0.09.
  EXPECT_LT(b.standard_error, 2.0 * a.standard_error);
}

TEST(ThroughputRatio, LaunchesThatDifferWidenTheInterval) {
  Random random(3);
  const Campaign campaign = draw_campaign(random, {1.0}, 3, 200, {.launch = 0.05});
  const ThroughputRatio ratio = ratio_to_best(campaign.joint, campaign.baselines);
  EXPECT_GT(ratio.standard_error, 3.0 * ratio.within_error);
  EXPECT_NEAR(ratio.degrees, 2.0, 1e-9);  // (2 legs - 1) * (3 rounds - 1)
}

TEST(ThroughputRatio, OneRoundCoversTheScatterOfStepsOnly) {
  Random random(4);
  const Campaign campaign = draw_campaign(random, {1.0, 1.0}, 1, 300, {});
  const ThroughputRatio ratio = ratio_to_best(campaign.joint, campaign.baselines);
  EXPECT_EQ(ratio.rounds, 1U);
  EXPECT_DOUBLE_EQ(ratio.standard_error, ratio.within_error);
  EXPECT_GT(ratio.within_error, 0.0);
}

TEST(ThroughputRatio, ARoundThatOneLegLacksIsLeftOut) {
  Random random(5);
  Campaign campaign = draw_campaign(random, {1.0, 1.0}, 3, 100, {});
  campaign.baselines[1].rounds[1].clear();
  EXPECT_EQ(ratio_to_best(campaign.joint, campaign.baselines).rounds, 2U);
  campaign.baselines[1].rounds.resize(1);
  EXPECT_EQ(ratio_to_best(campaign.joint, campaign.baselines).rounds, 1U);
  campaign.baselines[1].rounds.clear();
  EXPECT_EQ(ratio_to_best(campaign.joint, campaign.baselines).rounds, 0U);
}

struct Coverage {
  double covered = 0.0;      ///< share of the campaigns whose interval holds the truth
  double above = 0.0;        ///< whose lower end lies above the truth
  double false_grade = 0.0;  ///< whose lower end reaches 0.95
};

Coverage measure(const std::vector<double>& etas, std::size_t rounds, const Noise& noise, int campaigns) {
  const double truth = *std::min_element(etas.begin(), etas.end());
  Coverage coverage;
  for (int i = 0; i < campaigns; ++i) {
    Random random(1000 + static_cast<std::uint64_t>(i));
    const Campaign campaign = draw_campaign(random, etas, rounds, 100, noise, 0.01);
    const ThroughputRatio ratio = ratio_to_best(campaign.joint, campaign.baselines, {.replicates = 500});
    const double one = 1.0 / campaigns;
    coverage.covered += ratio.low <= truth && truth <= ratio.high ? one : 0.0;
    coverage.above += ratio.low > truth ? one : 0.0;
    coverage.false_grade += ratio.low >= 0.95 ? one : 0.0;
  }
  return coverage;
}

struct Scene {
  const char* name;
  std::vector<double> etas;
  std::size_t rounds;
  double launch;
};

class CoverageOf : public testing::TestWithParam<Scene> {};

// With 600 campaigns the standard error of a coverage of 0.95 is 0.009.
TEST_P(CoverageOf, TheTruthIsNominalOrALittleMore) {
  const Scene& scene = GetParam();
  const Coverage coverage = measure(scene.etas, scene.rounds, {.launch = scene.launch}, 600);
  EXPECT_GE(coverage.covered, 0.92);
  EXPECT_LE(coverage.covered, 0.99);
  EXPECT_LE(coverage.above, 0.025 + 0.01);
  RecordProperty("covered", std::to_string(coverage.covered));
}

INSTANTIATE_TEST_SUITE_P(Synthetic, CoverageOf,
                         testing::Values(Scene{"TwoEqualSites", {1.00, 1.00}, 4, 0.006},
                                         Scene{"TwoRounds", {1.00, 1.00}, 2, 0.02},
                                         Scene{"OneSiteSlower", {0.93, 0.96}, 4, 0.006},
                                         Scene{"OneRoundNoLaunchEffect", {0.93, 0.93}, 1, 0.0},
                                         Scene{"ManyRounds", {0.93, 0.93}, 8, 0.006}),
                         [](const testing::TestParamInfo<Scene>& scene) { return scene.param.name; });

TEST(NoFalsePass, NoiseDoesNotLiftTheGrade) {
  for (const std::size_t rounds : {2U, 4U}) {
    const Coverage coverage = measure({0.94, 0.94}, rounds, {.launch = 0.01}, 600);
    EXPECT_LE(coverage.false_grade, 0.025 + 0.01) << rounds << " rounds";
  }
  // The bound is not met by never granting the grade.
  EXPECT_GT(measure({1.0, 1.0}, 4, {.launch = 0.006}, 100).false_grade, 0.9);
}

}  // namespace
}  // namespace lockstep::stats
