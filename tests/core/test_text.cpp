#include <gtest/gtest.h>

#include "harness/core/text.hpp"

namespace lockstep {
namespace {

const std::vector<std::string> kKeys{"steps", "warmup_steps", "rounds"};

TEST(NearestMatch, FindsSlipsAndNothingElse) {
  EXPECT_EQ(nearest_match("stepz", kKeys), "steps");
  EXPECT_EQ(nearest_match("round", kKeys), "rounds");
  EXPECT_EQ(nearest_match("warmup", kKeys), std::nullopt);
  EXPECT_EQ(nearest_match("warm_up_steps", kKeys), "warmup_steps");
  EXPECT_EQ(nearest_match("bandwidth", kKeys), std::nullopt);
  EXPECT_EQ(nearest_match("x", {}), std::nullopt);
  const std::vector<std::string> sites{"A", "B"};
  EXPECT_EQ(nearest_match("Q", sites), std::nullopt) << "nothing in common";
}

TEST(Split, KeepsEmptyParts) {
  EXPECT_EQ(split("a,,b", ','), (std::vector<std::string>{"a", "", "b"}));
  EXPECT_EQ(split("", ','), std::vector<std::string>{""});
}

TEST(Join, IsTheReverseOfSplit) {
  const std::vector<std::string> parts{"a", "", "b"};
  EXPECT_EQ(join(parts, ","), "a,,b");
  EXPECT_EQ(join({}, ","), "");
}

TEST(Trim, TakesBothEnds) {
  EXPECT_EQ(trim(" \ta b\r\n"), "a b");
  EXPECT_EQ(trim(" "), "");
}

}  // namespace
}  // namespace lockstep
