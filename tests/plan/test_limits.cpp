#include <string>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "harness/plan/load.hpp"
#include "tests/plan/plans.hpp"

namespace lockstep::plan {
namespace {

TEST(Limits, OfEveryKeyHoldAtBothEnds) {
  const std::string plan =
      edited(kByHost, "model = \"tiny\"\n", "") +
      "[workload.shape]\nlayers = 1\nhidden = 8\nffn = 8\nheads = 2\nkv_heads = 2\nhead_dim = "
      "4\nvocab = 16\n[[drill]]\nkind = \"slow\"\nrank = 0\nfactor = 2\n";
  int limits_checked = 0;
  for (const KeyInfo& key : known_keys()) {
    if (key.type != "integer" && key.type != "number")
      continue;
    std::string least = key.limits.substr(0, key.limits.find(" to "));
    const std::string most = key.limits.substr(key.limits.find(" to ") + 4);
    const bool least_is_excluded = least.starts_with("above ");
    if (least_is_excluded)
      least = least.substr(6);
    std::string path = key.path;
    if (path.starts_with("site."))
      path = edited(path, "site.", "site.A.");
    if (path.starts_with("drill."))
      path = edited(path, "drill.", "drill.0.");
    const std::string rule = "--set: " + key.path + " is ";
    const auto says = [&](const std::string& value) {
      return complaint_about_set(plan, fmt::format("{}={}", path, value));
    };
    const bool is_integer = key.type == "integer";
    const std::string above =
        is_integer ? std::to_string(std::stoll(most) + 1) : std::to_string(std::stod(most) * 1.001);
    const std::string below =
        is_integer ? std::to_string(std::stoll(least) - 1) : std::to_string(std::stod(least) - 0.001);
    const std::string must_be =
        "(it must be " + std::string(is_integer ? "an integer, " : "a number, ") + key.limits + ")";
    EXPECT_THAT(says(above), testing::AllOf(testing::StartsWith(rule), testing::EndsWith(must_be)));
    EXPECT_THAT(says(below), testing::AllOf(testing::StartsWith(rule), testing::EndsWith(must_be)));
    EXPECT_THAT(says(most), testing::Not(testing::HasSubstr("it must be a")));
    if (least_is_excluded)
      EXPECT_THAT(says(least), testing::EndsWith(must_be));
    else
      EXPECT_THAT(says(least), testing::Not(testing::HasSubstr("it must be a")));
    ++limits_checked;
  }
  EXPECT_GT(limits_checked, 30);
}

}  // namespace
}  // namespace lockstep::plan
