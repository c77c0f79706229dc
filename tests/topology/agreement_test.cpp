#include "harness/topology/agreement.hpp"

#include <functional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "harness/core/error.hpp"
#include "tests/topology/pretended_ranks.hpp"

namespace lockstep::topology {
namespace {

using testing::AllOf;
using testing::HasSubstr;

std::string refusal(const plan::Plan& plan, const std::vector<RankCard>& cards, std::size_t leg = 0) {
  try {
    check_agreement(plan, plan.legs[leg], cards);
  } catch (const InputError& error) {
    return error.what();
  }
  return "(accepted)";
}

std::vector<RankCard> good_cards() {
  return pretended_cards({"n1", "n1", "n2", "n2", "s1", "s1", "s2", "s2"});
}

TEST(Agreement, ALaunchWithoutSomeHostsHasTheRanksThatAreLeft) {
  const plan::Plan plan = two_site_plan();
  const std::vector<RankCard> left = pretended_cards({"n1", "n1", "s1", "s1", "s2", "s2"});
  EXPECT_NO_THROW(check_agreement(plan, plan.legs[0], left, std::vector<std::uint32_t>{2, 4}));
  EXPECT_THROW(check_agreement(plan, plan.legs[0], left, std::vector<std::uint32_t>{4, 2}), InputError);
  EXPECT_THROW(check_agreement(plan, plan.legs[0], left), InputError);
}

TEST(Agreement, AcceptsRanksThatFit) {
  EXPECT_EQ(refusal(two_site_plan(), good_cards()), "(accepted)");
}

TEST(Agreement, NamesHostsAndRanksOfEachBinary) {
  std::vector<RankCard> cards = good_cards();
  cards[5].binary_hash = std::string(64, 'c');
  cards[6].binary_hash = std::string(64, 'c');
  EXPECT_EQ(refusal(two_site_plan(), cards),
            "the ranks run different binaries (sha256 aaaaaaaaaaaa on host n1 (ranks 0-1), host n2 (ranks "
            "2-3), host s1 "
            "(rank 4), host s2 (rank 7); sha256 cccccccccccc on host s1 (rank 5), host s2 (rank 6)); install "
            "one build on "
            "every host");
}

TEST(Agreement, NamesHostsAndRanksOfEachPlanAndLeg) {
  std::vector<RankCard> cards = good_cards();
  cards[2].plan_hash = std::string(64, 'd');
  EXPECT_THAT(refusal(two_site_plan(), cards),
              AllOf(HasSubstr("different plans"), HasSubstr("sha256 dddddddddddd on host n2 (rank 2)")));
  cards = good_cards();
  cards[0].leg = "north";
  EXPECT_THAT(
      refusal(two_site_plan(), cards),
      AllOf(HasSubstr("different legs"), HasSubstr("leg 'north' on host n1 (rank 0); leg 'joint' on")));
}

TEST(Agreement, KeepsTheLineShortWhenThereAreManyHosts) {
  plan::Plan plan = two_site_plan();
  plan.sites[0].hosts = {"n[1-9000]"};
  plan.sites[0].slots = 1;
  std::vector<std::string> hosts;
  for (int i = 1; i <= 9000; ++i)
    hosts.push_back("n" + std::to_string(i));
  std::vector<RankCard> cards = pretended_cards(hosts);
  cards[8999].binary_hash = std::string(64, 'c');
  const std::string message = refusal(plan, cards);
  EXPECT_THAT(message,
              AllOf(HasSubstr("8991 more hosts"), HasSubstr("cccccccccccc on host n9000 (rank 8999)")));
  EXPECT_LT(message.size(), 600U);
}

TEST(Agreement, ARankWithoutASiteIsToldItsAddressesAndTheSitesHosts) {
  std::vector<RankCard> cards = good_cards();
  cards[7].host = "x9";
  cards[7].site.clear();
  EXPECT_EQ(refusal(two_site_plan(), cards),
            "two-sites.toml: host x9 (rank 7) belongs to no site of the plan (addresses of x9: 10.0.0.1; "
            "hosts of site "
            "'north': n[1-2]; site 'south': s[1-2]); add the host to its site in the plan, or set "
            "LOCKSTEP_SITE on it");
}

TEST(Agreement, PassesOnWhyASiteCouldNotBeLookedUp) {
  std::vector<RankCard> cards = good_cards();
  cards[3].site.clear();
  cards[3].problem = "host 'n2' belongs to two sites";
  EXPECT_EQ(refusal(two_site_plan(), cards), "host 'n2' belongs to two sites (found on host n2 (rank 3))");
}

TEST(Agreement, RefusesRanksOfASiteThatIsNotInTheLeg) {
  std::vector<RankCard> cards = pretended_cards({"s1", "s1", "s2", "n2"});
  EXPECT_THAT(refusal(two_site_plan(), cards, 1),
              AllOf(HasSubstr("host n2 (rank 3) of site 'north' take part in leg 'south'"),
                    HasSubstr("that leg runs on south")));
}

TEST(Agreement, RefusesASiteWithoutRanks) {
  EXPECT_THAT(refusal(two_site_plan(), pretended_cards({"n1", "n1", "n2", "n2"})),
              AllOf(HasSubstr("site 'south' of leg 'joint' has no rank"), HasSubstr("mpirun -np 8")));
}

TEST(Agreement, RefusesFewerSlotsThanAskedAndMore) {
  EXPECT_THAT(refusal(two_site_plan(), pretended_cards({"n1", "n1", "n2", "n2", "s1", "s1", "s2"})),
              AllOf(HasSubstr("fewer slots than asked"),
                    HasSubstr("site 'north' has 4 of 4, site 'south' has 3 of 4")));
  EXPECT_THAT(
      refusal(two_site_plan(), pretended_cards({"n1", "n1", "n2", "n2", "s1", "s1", "s2", "s2", "s2"})),
      HasSubstr("more ranks than its sites have slots"));
  // The right number in all, at the wrong sites.
  EXPECT_THAT(refusal(two_site_plan(), pretended_cards({"n1", "n1", "n2", "n2", "n2", "s1", "s2", "s2"})),
              HasSubstr("fewer slots than asked"));
}

TEST(Agreement, SitesGivenAsNetworksTakeAnyNumberOfRanks) {
  plan::Plan plan = two_site_plan();
  plan.sites[0].hosts = {"10.1.0.0/16"};
  plan.sites[1].hosts = {"10.2.0.0/16"};
  EXPECT_EQ(refusal(plan, pretended_cards({"n1", "n1", "n1", "s7"})), "(accepted)");
}

TEST(Agreement, ColocatedLegsTakeExactlyWhatIsDeclared) {
  plan::Plan plan = two_site_plan();
  plan.placement = plan::Placement::colocated;
  plan.sites[0].hosts.clear();
  plan.sites[1].hosts.clear();
  EXPECT_EQ(refusal(plan, pretended_cards({"n", "n", "s", "s"})), "(accepted)");
  EXPECT_THAT(refusal(plan, pretended_cards({"n", "n", "s"})), HasSubstr("fewer slots than asked"));
  std::vector<RankCard> cards = pretended_cards({"n", "n", "s", "s", "s"});
  cards[4].site.clear();
  EXPECT_THAT(refusal(plan, cards), HasSubstr("more ranks than its sites have slots"));
}

TEST(Agreement, TensorParallelGroupsMustFitEverySite) {
  plan::Plan plan = two_site_plan();
  plan.workload.tensor_parallel = 4;
  EXPECT_EQ(refusal(plan, good_cards()), "(accepted)");
  plan.sites[0].hosts = {"10.1.0.0/16"};
  std::vector<RankCard> cards = pretended_cards({"n1", "n1", "n2", "s1", "s1", "s2", "s2"});
  EXPECT_THAT(refusal(plan, cards),
              HasSubstr("the 3 ranks of site 'north' do not divide into tensor-parallel groups of 4"));
}

}  // namespace
}  // namespace lockstep::topology
