#include <algorithm>
#include <limits>

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include "harness/certify/certificate.hpp"
#include "harness/core/hash.hpp"
#include "tests/certify/synthetic_evidence.hpp"

namespace lockstep::certify {
namespace {

using Json = nlohmann::ordered_json;

Certificate certify(const tests::Scenario& scenario) {
  const plan::Plan plan = tests::make_plan(scenario);
  return make_certificate(tests::make_evidence(scenario, plan), plan, "e3b0");
}

TEST(Certificate, IsTheSameBytesWhenRecomputed) {
  const tests::Scenario scenario;
  EXPECT_EQ(serialize(certify(scenario)), serialize(certify(scenario)));
}

TEST(Certificate, DoesNotDependOnTheOrderOfRows) {
  const tests::Scenario scenario;
  const plan::Plan plan = tests::make_plan(scenario);
  record::Evidence evidence = tests::make_evidence(scenario, plan);
  const std::string before = serialize(make_certificate(evidence, plan, "h"));
  std::reverse(evidence.steps.begin(), evidence.steps.end());
  std::reverse(evidence.comms.begin(), evidence.comms.end());
  std::reverse(evidence.clock.begin(), evidence.clock.end());
  std::reverse(evidence.legs.begin(), evidence.legs.end());
  EXPECT_EQ(serialize(make_certificate(evidence, plan, "h")), before);
}

TEST(Certificate, SaysEverythingThatAReaderNeeds) {
  const std::string text = serialize(certify({}));
  EXPECT_EQ(text.back(), '\n');
  const Json json = Json::parse(text);
  EXPECT_EQ(json["schema"], kCertificateSchema);
  EXPECT_EQ(json["lockstep_version"], "0.1.0");
  EXPECT_EQ(json["plan"]["name"], "synthetic");
  EXPECT_EQ(json["plan"]["sha256"], sha256("a synthetic plan\n"));
  EXPECT_EQ(json["evidence"]["sha256"], "e3b0");
  EXPECT_EQ(json["grade"], plan::to_string(plan::Grade::a_plus));
  EXPECT_EQ(json["certified"], true);
  EXPECT_EQ(json["exit_code"], 0);
  EXPECT_EQ(json["rehearsal"]["is"], false);
  ASSERT_EQ(json["criteria"].size(), 8U);
  std::vector<std::string> names;
  for (const Json& line : json["criteria"]) {
    names.push_back(line["name"]);
    for (const char* key : {"status", "value", "threshold", "unit", "axis", "method"})
      EXPECT_FALSE(line[key].is_null()) << line["name"] << " " << key;
  }
  EXPECT_THAT(names,
              testing::ElementsAre("eta", "tail_ratio", "exposed_wan", "site_contribution.A",
                                   "site_contribution.B", "effective_time", "data", "low_communication"));
  EXPECT_EQ(json["criteria"][0]["interval"].size(), 2U);
  ASSERT_EQ(json["legs"].size(), 3U);
  EXPECT_EQ(json["legs"][2]["name"], "joint");
  EXPECT_EQ(json["legs"][2]["steps"], 240);
  EXPECT_EQ(json["legs"][2]["rounds"].size(), 4U);
  EXPECT_TRUE(json["legs"][2]["rounds"][0]["p99_s"].is_null());  // 60 steps tell no p99
  EXPECT_EQ(json["information"]["communication"][0]["type"], "all_reduce");
}

TEST(Certificate, NumbersHaveSixSignificantDigits) {
  Certificate certificate = certify({});
  certificate.criteria[0].value = 0.12345678901;
  certificate.criteria[1].value = std::numeric_limits<double>::infinity();
  const Json json = Json::parse(serialize(certificate));
  EXPECT_EQ(json["criteria"][0]["value"].dump(), "0.123457");
  EXPECT_TRUE(json["criteria"][1]["value"].is_null());
}

TEST(Certificate, TextThatIsNotUtf8DoesNotStopIt) {
  Certificate certificate = certify({});
  certificate.plan_name = "caf\xe9";
  EXPECT_FALSE(Json::parse(serialize(certificate), nullptr, false).is_discarded());
}

}  // namespace
}  // namespace lockstep::certify
