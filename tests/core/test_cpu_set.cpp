#include <gtest/gtest.h>

#include "harness/core/cpu_set.hpp"
#include "harness/core/posix.hpp"

namespace lockstep {
namespace {

TEST(CpuSet, ReadsAndWritesLinuxLists) {
  for (const char* text : {"0", "0-3", "0-3,8", "1,3,5-7"}) {
    const auto set = CpuSet::parse(text);
    ASSERT_TRUE(set) << text;
    EXPECT_EQ(set->text(), text);
  }
  EXPECT_EQ(CpuSet::parse("0,1,2")->text(), "0-2");
  EXPECT_EQ(CpuSet::parse("")->size(), 0U);
  for (const char* text : {"a", "3-1", "1,", "-1", "0-99999999"})
    EXPECT_FALSE(CpuSet::parse(text)) << text;
}

TEST(CpuSet, Joins) {
  CpuSet set({0, 1});
  set.add(CpuSet({1, 4}));
  EXPECT_EQ(set.text(), "0-1,4");
  EXPECT_EQ(set.size(), 3U);
}

TEST(CpuSet, Intersects) {
  const CpuSet set = *CpuSet::parse("0-3,8");
  EXPECT_EQ(set.common(*CpuSet::parse("2-9")).text(), "2-3,8");
  EXPECT_TRUE(set.common(*CpuSet::parse("4-7")).empty());
  EXPECT_TRUE(CpuSet{}.empty());
  EXPECT_FALSE(set.empty());
}

TEST(CpuSet, KnowsThisThread) {
  EXPECT_EQ(CpuSet::of_this_thread().size(), usable_cpus());
}

}  // namespace
}  // namespace lockstep
