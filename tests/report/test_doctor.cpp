#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "harness/report/doctor.hpp"
#include "tests/campaign/sample_survey.hpp"

namespace lockstep::report {
namespace {

using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;

class DoctorReport : public testing::Test {
 protected:
  void SetUp() override {
    survey_.hosts[3].facts.reset();
    survey_.hosts[3].trouble = "no route to host";
    std::erase_if(survey_.paths,
                  [](const campaign::PathReport& path) { return path.from == 3 || path.to == 3; });
    campaign::add_stream(survey_, 0, 2, 1, 2.5e8);
    campaign::add_stream(survey_, 0, 2, 4, 5e8);
    campaign::path_of(survey_, 1, 2).train->received = 380;
    campaign::block(survey_, 2, 1);
    findings_ = campaign::examine(plan_, survey_);
  }
  [[nodiscard]] Preflight preflight() const { return {plan_, survey_, findings_, "/shared/doctor"}; }

  plan::Plan plan_ = campaign::careful_plan();
  campaign::Survey survey_ = campaign::healthy_survey(plan_);
  std::vector<campaign::Finding> findings_;
};

TEST_F(DoctorReport, TablesAndFindings) {
  const std::string text = preflight_text(preflight(), {});
  EXPECT_THAT(text, HasSubstr("survey in /shared/doctor"));
  EXPECT_THAT(text, ContainsRegex("h0 +A +4 +8 "));
  EXPECT_THAT(text, ContainsRegex("h3 +B .*no answer\n"));
  EXPECT_THAT(text, ContainsRegex(
                        "A +B +2/2 +10\\.0 ms +10\\.1 ms +11\\.0 ms +2\\.50 % +9000 +250 MB/s +500 MB/s\n"));
  EXPECT_THAT(text, ContainsRegex("B +A +1/2 "));
  EXPECT_THAT(text, HasSubstr("Findings: 3 errors, 1 warning, 0 notes"));
  EXPECT_THAT(text,
              HasSubstr("  error    host h3 of site B did not answer: no route to host\n           Why: "));
  EXPECT_THAT(text, Not(HasSubstr("\033"))) << "no colours unless asked for";
}

TEST_F(DoctorReport, NoLineIsBrokenByColours) {
  Style coloured;
  coloured.colours = true;
  std::string text = preflight_text(preflight(), coloured);
  EXPECT_THAT(text, HasSubstr("\033"));
  for (std::size_t at = 0; (at = text.find("\033[")) != std::string::npos;)
    text.erase(at, text.find('m', at) - at + 1);
  EXPECT_EQ(text, preflight_text(preflight(), {}));
}

TEST_F(DoctorReport, JsonHoldsEverything) {
  const auto document = nlohmann::json::parse(preflight_json(preflight()));
  EXPECT_EQ(document["hosts"].size(), 4U);
  EXPECT_TRUE(document["hosts"][3]["facts"].is_null());
  EXPECT_EQ(document["hosts"][3]["trouble"], "no route to host");
  EXPECT_EQ(document["paths"].size(), 6U);
  EXPECT_EQ(document["findings"].size(), findings_.size());
  EXPECT_EQ(document["findings"][0]["severity"], "error");
  EXPECT_EQ(document["sites"][1]["one_stream_bytes_per_s"], 2.5e8);
  EXPECT_EQ(document["sites"][1]["datagrams_received"], 780);
  EXPECT_EQ(document["streams"][1]["streams"], 4);
}

TEST(LocalReport, TellsWhatIsMissing) {
  campaign::LocalMachine machine;
  machine.facts = campaign::healthy_facts(0);
  machine.launcher_problem = "mpirun is not in PATH";
  machine.gpus = {"NVIDIA H100", "NVIDIA H100"};
  const auto findings = campaign::local_findings(machine);
  const std::string text = local_text(machine, findings, {});
  EXPECT_THAT(text, ContainsRegex("launcher +no: mpirun is not in PATH\n"));
  EXPECT_THAT(text, ContainsRegex("GPUs +NVIDIA H100, NVIDIA H100\n"));
  EXPECT_THAT(text, HasSubstr("Findings: 1 error, 0 warnings, 0 notes"));
  const auto document = nlohmann::json::parse(local_json(machine, findings));
  EXPECT_EQ(document["findings"][0]["kind"], "no-launcher");
  EXPECT_EQ(document["gpus"].size(), 2U);
}

}  // namespace
}  // namespace lockstep::report
