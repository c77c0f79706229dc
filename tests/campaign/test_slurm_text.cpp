#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "harness/campaign/slurm_text.hpp"
#include "harness/core/error.hpp"

namespace lockstep::campaign {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(ExpandHostList, TakesSeveralGroups) {
  EXPECT_THAT(expand_host_list("a[1-2,4],b7"), ElementsAre("a1", "a2", "a4", "b7"));
  EXPECT_THAT(expand_host_list("gpu-a[008-010]"), ElementsAre("gpu-a008", "gpu-a009", "gpu-a010"));
  EXPECT_THAT(expand_host_list("r[1-2]n[1-2]"), ElementsAre("r1n1", "r1n2", "r2n1", "r2n2"));
  EXPECT_THAT(expand_host_list("login"), ElementsAre("login"));
}

TEST(ExpandHostList, RefusesWhatItCannotUnderstand) {
  for (const char* list : {"", "a[1-2", "a[2-1]", "a,,b"})
    EXPECT_THROW(static_cast<void>(expand_host_list(list)), InputError) << list;
}

TEST(ExpandCounts, RepeatsAndLists) {
  EXPECT_THAT(expand_counts("2(x3),1", 4), ElementsAre(2, 2, 2, 1));
  EXPECT_THAT(expand_counts("3,2,1(x2)", 4), ElementsAre(3, 2, 1, 1));
  EXPECT_THAT(expand_counts("8", 1), ElementsAre(8));
}

TEST(ExpandCounts, RefusesTheWrongNumberOfHosts) {
  for (const char* counts :
       {"2(x3)", "2(x5)", "2(x4294967295)", "2,2,2", "", "two(x4)", "0(x4)", "2(x)", "2(x4"})
    EXPECT_THROW(static_cast<void>(expand_counts(counts, 4)), InputError) << counts;
}

TEST(ParseTime, TakesEveryFormOfSlurm) {
  EXPECT_EQ(parse_time_s("30"), 30 * 60.0);
  EXPECT_EQ(parse_time_s("10:05\n"), 605.0);
  EXPECT_EQ(parse_time_s("1:00:01"), 3601.0);
  EXPECT_EQ(parse_time_s("2-3"), 51 * 3600.0);
  EXPECT_EQ(parse_time_s("1-00:30"), 86400.0 + 1800.0);
  EXPECT_EQ(parse_time_s("1-01:01:01"), 86400.0 + 3661.0);
}

TEST(ParseTime, KnowsWhatIsNoTime) {
  for (const char* text : {"UNLIMITED", "INVALID", "NOT_SET", "", "1:2:3:4", "-5", "1-", "soon"})
    EXPECT_FALSE(parse_time_s(text)) << text;
}

TEST(ParseTopology, ReadsWhatScontrolPrints) {
  const auto switches = parse_topology(
      "SwitchName=campus-a Level=0 LinkSpeed=1 Nodes=a[1-2]\n"
      "SwitchName=campus-b Level=0 LinkSpeed=1 Nodes=b1\n"
      "SwitchName=wan Level=1 LinkSpeed=1 Nodes=a[1-2],b1 Switches=campus-a,campus-b");
  EXPECT_THAT(switches, ElementsAre(Switch{"campus-a", {"a1", "a2"}, {}}, Switch{"campus-b", {"b1"}, {}},
                                    Switch{"wan", {"a1", "a2", "b1"}, {"campus-a", "campus-b"}}));
  EXPECT_THAT(parse_topology(""), IsEmpty());
  EXPECT_THAT(parse_topology("No topology information available\n"), IsEmpty());
}

}  // namespace
}  // namespace lockstep::campaign
