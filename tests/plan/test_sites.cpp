#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "harness/core/error.hpp"
#include "harness/plan/sites.hpp"
#include "tests/plan/plans.hpp"

namespace lockstep::plan {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string refusal(const std::string& pattern) {
  try {
    return "accepted: " + std::to_string(expand_hosts(pattern).size());
  } catch (const InputError& error) {
    return error.what();
  }
}

TEST(ExpandHosts, PlainNamesGiveThemselves) {
  EXPECT_THAT(expand_hosts("gpu-a1"), ElementsAre("gpu-a1"));
  EXPECT_THAT(expand_hosts("10.0.0.0/8"), ElementsAre("10.0.0.0/8"));
}

TEST(ExpandHosts, RangesKeepTheirWidth) {
  EXPECT_THAT(expand_hosts("n[08-11]"), ElementsAre("n08", "n09", "n10", "n11"));
  EXPECT_THAT(expand_hosts("n[8-11]"), ElementsAre("n8", "n9", "n10", "n11"));
  EXPECT_THAT(expand_hosts("n[0-2]"), ElementsAre("n0", "n1", "n2"));
  EXPECT_EQ(expand_hosts("gpu-a[001-128]").front(), "gpu-a001");
  EXPECT_EQ(expand_hosts("gpu-a[001-128]").back(), "gpu-a128");
  EXPECT_EQ(expand_hosts("gpu-a[001-128]").size(), 128U);
}

TEST(ExpandHosts, ListsAndSeveralBrackets) {
  EXPECT_THAT(expand_hosts("gpu-a[001-003,7]"), ElementsAre("gpu-a001", "gpu-a002", "gpu-a003", "gpu-a7"));
  EXPECT_THAT(expand_hosts("r[1-2]n[01,03].x"), ElementsAre("r1n01.x", "r1n03.x", "r2n01.x", "r2n03.x"));
  EXPECT_THAT(expand_hosts("[1-2][3-4]"), ElementsAre("13", "14", "23", "24"));
  EXPECT_THAT(expand_hosts("n[1, 3]"), ElementsAre("n1", "n3"));
}

TEST(ExpandHosts, RefusesMalformedPatternsWithTheReason) {
  const std::string end = "; write it like gpu-a[001-128] or gpu-a[1-4,7]";
  const auto text = [&](const std::string& pattern, const std::string& why) {
    return "host pattern '" + pattern + "' cannot be expanded (" + why + ")" + end;
  };
  EXPECT_EQ(refusal(""), text("", "it is empty"));
  EXPECT_EQ(refusal("n[1-3"), text("n[1-3", "its brackets do not pair"));
  EXPECT_EQ(refusal("n1-3]"), text("n1-3]", "its brackets do not pair"));
  EXPECT_EQ(refusal("n[1[2]]"), text("n[1[2]]", "its brackets do not pair"));
  EXPECT_EQ(refusal("n[]"), text("n[]", "'' is no number"));
  EXPECT_EQ(refusal("n[1,,2]"), text("n[1,,2]", "'' is no number"));
  EXPECT_EQ(refusal("n[a-b]"), text("n[a-b]", "'a' is no number"));
  EXPECT_EQ(refusal("n[1-2-3]"), text("n[1-2-3]", "'2-3' is no number"));
  EXPECT_EQ(refusal("n[5-3]"), text("n[5-3]", "the range 5-3 runs backwards"));
  EXPECT_EQ(refusal("n[1-010]"), text("n[1-010]", "the ends of 1-010 are padded to different widths"));
  EXPECT_EQ(refusal("n[1234567890123]"), text("n[1234567890123]", "'1234567890123' has more than 12 digits"));
}

TEST(ExpandHosts, RefusesMoreThanAMillion) {
  EXPECT_EQ(refusal("n[1-1000000]"), "accepted: 1000000");
  EXPECT_THAT(refusal("n[1-1000001]"), HasSubstr("more than 1000000 hosts"));
  EXPECT_THAT(refusal("n[0-999999999999]"), HasSubstr("more than 1000000 hosts"));
  EXPECT_THAT(refusal("n[1-2000]x[1-2000]"), HasSubstr("more than 1000000 hosts"));
}

TEST(IsNetwork, IsCidrNotation) {
  EXPECT_TRUE(is_network("10.1.0.0/16"));
  EXPECT_TRUE(is_network("fd00::/8"));
  EXPECT_FALSE(is_network("10.1.0.0"));
  EXPECT_FALSE(is_network("gpu-a1"));
  EXPECT_FALSE(is_network("gpu/a1"));
}

Plan plan_with(std::vector<std::string> hosts_a, std::vector<std::string> hosts_b) {
  Plan plan;
  plan.path = "plan.toml";
  plan.sites = {{"A", std::move(hosts_a), 1}, {"B", std::move(hosts_b), 1}};
  return plan;
}

TEST(FindSite, ByNamePatternAddressAndNetwork) {
  const Plan plan =
      plan_with({"gpu-a[001-128]", "login", "10.1.0.0/16", "fd00:1::/32"}, {"GPU-B1", "10.2.0.7"});
  EXPECT_EQ(find_site(plan, {"gpu-a077", {}}), SiteId(0));
  EXPECT_EQ(find_site(plan, {"gpu-a77", {}}), std::nullopt);
  EXPECT_EQ(find_site(plan, {"gpu-a129", {}}), std::nullopt);
  EXPECT_EQ(find_site(plan, {"login", {}}), SiteId(0));
  EXPECT_EQ(find_site(plan, {"Gpu-b1", {}}), SiteId(1));
  EXPECT_EQ(find_site(plan, {"other", {"127.0.0.1", "10.1.200.3"}}), SiteId(0));
  EXPECT_EQ(find_site(plan, {"other", {"fd00:1::5%eth1"}}), SiteId(0));
  EXPECT_EQ(find_site(plan, {"other", {"10.2.0.7"}}), SiteId(1));
  EXPECT_EQ(find_site(plan, {"other", {"10.2.0.8", "not an address"}}), std::nullopt);
}

TEST(FindSite, ShortAndFullNamesMatchButDifferentDomainsDoNot) {
  const Plan plan = plan_with({"n1.north.example", "m[1-2]"}, {"n1.south.example"});
  EXPECT_EQ(find_site(plan, {"n1.north.example", {}}), SiteId(0));
  EXPECT_EQ(find_site(plan, {"n1.south.example", {}}), SiteId(1));
  EXPECT_EQ(find_site(plan, {"n1.east.example", {}}), std::nullopt);
  EXPECT_EQ(find_site(plan, {"m2.north.example", {}}), SiteId(0));
}

TEST(FindSite, RefusesAHostThatTwoSitesClaim) {
  const Plan plan = plan_with({"n1"}, {"10.0.0.0/8"});
  try {
    static_cast<void>(find_site(plan, {"n1", {"10.0.0.9"}}));
    ADD_FAILURE() << "no site was refused";
  } catch (const InputError& error) {
    EXPECT_STREQ(
        error.what(),
        "plan.toml: host 'n1' belongs to two sites (site 'A' claims it by 'n1', site 'B' by '10.0.0.0/8'); "
        "name it in one site only, or set LOCKSTEP_SITE on that host");
  }
  // A short name fits the full names of both sites.
  const Plan ambiguous = plan_with({"n1.north.example"}, {"n1.south.example"});
  EXPECT_THROW(static_cast<void>(find_site(ambiguous, {"n1", {}})), InputError);
}

}  // namespace
}  // namespace lockstep::plan
