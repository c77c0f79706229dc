#include <gtest/gtest.h>

#include "harness/core/error.hpp"

namespace lockstep {
namespace {

TEST(Problem, IsOneLineWithPlaceReasonAndSuggestion) {
  const Problem problem{.what = "unknown key 'stepz'",
                        .why = "[run] has no\nsuch key",
                        .suggestion = "did you mean 'steps'?",
                        .file = "plan.toml",
                        .line = 12};
  EXPECT_EQ(problem.one_line(),
            "plan.toml:12: unknown key 'stepz' ([run] has no such key); did you mean 'steps'?");
  EXPECT_EQ((Problem{.what = "it broke", .why = {}, .suggestion = {}, .file = {}}).one_line(), "it broke");
  EXPECT_EQ((Problem{.what = "it broke", .why = {}, .suggestion = {}, .file = "f"}).one_line(),
            "f: it broke");
}

TEST(Problem, TravelsInTheException) {
  const InputError error({.what = "a", .why = "b", .suggestion = {}, .file = {}});
  EXPECT_STREQ(error.what(), "a (b)");
  EXPECT_EQ(error.problem().why, "b");
}

TEST(ExpectDeathTest, NamesThePlace) {
  EXPECT_DEATH(LOCKSTEP_EXPECT(1 + 1 == 3, "arithmetic holds"),
               "defect at .*test_error.cpp:[0-9]+: .*arithmetic holds");
}

}  // namespace
}  // namespace lockstep
