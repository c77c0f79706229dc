#include "harness/topology/rank_card.hpp"

#include <cstdlib>
#include <optional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "harness/core/error.hpp"
#include "harness/core/posix.hpp"
#include "tests/topology/pretended_ranks.hpp"

namespace lockstep::topology {
namespace {

using testing::HasSubstr;

/// Sets LOCKSTEP_SITE for the length of a test.
class SiteVariable {
 public:
  explicit SiteVariable(const char* value) { setenv("LOCKSTEP_SITE", value, 1); }
  SiteVariable(const SiteVariable&) = delete;
  SiteVariable& operator=(const SiteVariable&) = delete;
  ~SiteVariable() { unsetenv("LOCKSTEP_SITE"); }
};

TEST(RankCard, SurvivesTheTrip) {
  RankCard card = pretended_card(3, "n1", "north");
  card.addresses = {"10.0.0.1", "fd00::1"};
  card.problem = "12:odd \n text:";
  const RankCard back = decode_rank_card(encode(card));
  EXPECT_EQ(back.world_rank, 3U);
  EXPECT_EQ(back.addresses, card.addresses);
  EXPECT_EQ(back.pid, card.pid);
  EXPECT_EQ(back.leg, card.leg);
  EXPECT_EQ(back.site, card.site);
  EXPECT_EQ(back.problem, card.problem);
  EXPECT_EQ(encode(back), encode(card));
}

TEST(RankCard, RefusesWhatIsNoCard) {
  const std::string whole = encode(pretended_card(3, "n1", "north"));
  for (const std::string& text : {std::string(), std::string("x"), std::string("99999999999999999999:"),
                                  whole.substr(0, whole.size() - 1), whole + "0:", "9" + whole})
    EXPECT_THROW(static_cast<void>(decode_rank_card(text)), RunError) << text;
}

TEST(RankCard, DescribesThisProcess) {
  plan::Plan plan = two_site_plan();
  const RankCard card = make_rank_card(plan, plan.legs[0], 5);
  EXPECT_EQ(card.world_rank, 5U);
  EXPECT_EQ(card.pid, getpid());
  EXPECT_THAT(card.host, testing::StartsWith(short_host_name()));
  EXPECT_EQ(card.binary_hash.size(), 64U);
  EXPECT_EQ(card.plan_hash.size(), 64U);
  EXPECT_THAT(card.clock_domain, testing::StartsWith(boot_id()));
  EXPECT_FALSE(card.cores.empty());
  EXPECT_EQ(card.leg, "joint");
  EXPECT_THAT(card.addresses, testing::Not(testing::Contains("127.0.0.1")));
  plan.text += " ";
  EXPECT_NE(make_rank_card(plan, plan.legs[0], 5).plan_hash, card.plan_hash);
}

TEST(RankCard, SiteComesFromTheHostName) {
  plan::Plan plan = two_site_plan();
  EXPECT_EQ(make_rank_card(plan, plan.legs[0], 0).site, "");
  plan.sites[1].hosts.push_back(short_host_name());
  EXPECT_EQ(make_rank_card(plan, plan.legs[0], 0).site, "south");
  plan.sites[0].hosts.push_back(short_host_name());
  const RankCard torn = make_rank_card(plan, plan.legs[0], 0);
  EXPECT_EQ(torn.site, "");
  EXPECT_THAT(torn.problem, HasSubstr("two sites"));
}

TEST(RankCard, EnvironmentWinsOverTheHostName) {
  plan::Plan plan = two_site_plan();
  plan.sites[1].hosts.push_back(short_host_name());
  const SiteVariable variable("north");
  EXPECT_EQ(make_rank_card(plan, plan.legs[0], 0).site, "north");
}

TEST(RankCard, UnknownSiteInTheEnvironmentIsAProblemWithASuggestion) {
  const plan::Plan plan = two_site_plan();
  const SiteVariable variable("nort");
  const RankCard card = make_rank_card(plan, plan.legs[0], 0);
  EXPECT_EQ(card.site, "");
  EXPECT_EQ(
      card.problem,
      "LOCKSTEP_SITE is 'nort', which is no site of the plan (it has north, south); did you mean 'north'?");
}

TEST(RankCard, ColocatedRanksFillTheLegsSitesInOrder) {
  plan::Plan plan = two_site_plan();
  plan.placement = plan::Placement::colocated;
  plan.sites[0].slots = 1;
  plan.sites[1].slots = 2;
  std::vector<std::string> joint;
  std::vector<std::string> south;
  for (std::uint32_t rank = 0; rank < 4; ++rank) {
    joint.push_back(make_rank_card(plan, plan.legs[0], rank).site);
    south.push_back(make_rank_card(plan, plan.legs[1], rank).site);
  }
  EXPECT_EQ(joint, (std::vector<std::string>{"north", "south", "south", ""}));
  EXPECT_EQ(south, (std::vector<std::string>{"south", "south", "", ""}));
}

TEST(FormatRanges, JoinsNeighbours) {
  EXPECT_EQ(format_ranges({}), "");
  EXPECT_EQ(format_ranges({4}), "4");
  EXPECT_EQ(format_ranges({0, 1, 2, 5, 7, 8}), "0-2,5,7-8");
}

}  // namespace
}  // namespace lockstep::topology
