#include <filesystem>
#include <span>

#include <gmock/gmock.h>
#include <unistd.h>

#include "harness/certify/verify.hpp"
#include "harness/core/hash.hpp"
#include "harness/core/posix.hpp"
#include "harness/plan/load.hpp"
#include "harness/record/run_file.hpp"
#include "tests/certify/synthetic_evidence.hpp"

namespace lockstep::certify {
namespace {

Certificate certify() {
  const tests::Scenario scenario{.rounds = 2, .steps = 100};
  const plan::Plan plan = tests::make_plan(scenario);
  return make_certificate(tests::make_evidence(scenario, plan), plan, "h");
}

TEST(VerifyCertificate, TheSameBytesAreEqual) {
  const Certificate certificate = certify();
  EXPECT_TRUE(verify_certificate(serialize(certificate), certificate).equal());
}

TEST(VerifyCertificate, NamesTheValueThatDiffers) {
  const Certificate certificate = certify();
  Certificate forged = certificate;
  forged.grade = plan::Grade::a_plus;
  forged.criteria[0].value = 0.9999;
  forged.gaps.emplace_back("a gap that is not there");
  Certificate truth = certificate;
  truth.grade = plan::Grade::b;
  const Verification verification = verify_certificate(serialize(forged), truth);
  std::vector<std::string> paths;
  for (const Difference& difference : verification.differences)
    paths.push_back(difference.path);
  EXPECT_THAT(paths, testing::IsSupersetOf({"/grade", "/criteria/0/value", "/missing/0"}));
  for (const Difference& difference : verification.differences) {
    if (difference.path == "/criteria/0/value") {
      EXPECT_EQ(difference.stated, "0.9999");
    }
    if (difference.path == "/missing/0") {
      EXPECT_EQ(difference.recomputed, "(absent)");
    }
  }
}

TEST(VerifyCertificate, EveryChangedByteIsSeen) {
  const Certificate certificate = certify();
  const std::string bytes = serialize(certificate);
  for (std::size_t i = 0; i < bytes.size(); i += 97) {
    std::string changed = bytes;
    changed[i] = static_cast<char>(changed[i] ^ 1);
    EXPECT_FALSE(verify_certificate(changed, certificate).equal()) << i;
  }
}

TEST(VerifyCertificate, WhiteSpaceAndOtherTextsAreDifferences) {
  const Certificate certificate = certify();
  const std::string bytes = serialize(certificate);
  for (const std::string& text : {bytes + " ", bytes.substr(0, bytes.size() - 1), std::string("no JSON"),
                                  std::string(), bytes.substr(0, bytes.size() / 2), std::string("[]")}) {
    EXPECT_EQ(verify_certificate(text, certificate).differences.size(), 1U) << text.substr(0, 20);
    EXPECT_EQ(verify_certificate(text, certificate).differences[0].path, "");
  }
}

constexpr const char* kPlan = R"(name = "verify"

[[site]]
name = "A"
hosts = ["host-A"]
slots = 2

[[site]]
name = "B"
hosts = ["host-B"]
slots = 2

[workload]
model = "tiny"
sequence_length = 128

[run]
steps = 100
warmup_steps = 3
rounds = 2
)";

class VerifyFolder : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() /
              ("lockstep-verify-" + std::to_string(::getpid()) + "-" +
               testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
    const plan::Plan plan = plan::parse_plan(kPlan, "test plan");
    const tests::Scenario scenario{.rounds = 2, .steps = 100};
    const record::Evidence evidence = tests::make_evidence(scenario, plan);
    record::RunFileWriter writer(path("run.h5"), evidence.plan_text, evidence.created_utc);
    const auto append = [&](const auto& rows) { writer.append(std::span(rows)); };
    append(evidence.legs);
    append(evidence.leg_ends);
    append(evidence.ranks);
    append(evidence.graph);
    append(evidence.steps);
    append(evidence.comms);
    append(evidence.clock);
    writer.close();
    write_text_file(path("plan.toml"), evidence.plan_text);
    const record::Evidence read = record::read_run_file(path("run.h5"));
    write_text_file(path("certificate.json"), serialize(make_certificate(read, sha256_file(path("run.h5")))));
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string path(const char* name) const { return (folder_ / name).string(); }

  std::filesystem::path folder_;
};

TEST_F(VerifyFolder, WhatWasWrittenVerifies) {
  const FolderVerification result = verify_folder(folder_.string());
  EXPECT_TRUE(result.verification.equal());
  EXPECT_EQ(result.recomputed.grade, plan::Grade::a_plus)
      << testing::PrintToString(result.recomputed.reasons);
}

TEST_F(VerifyFolder, AChangedCertificateIsNamed) {
  std::string text = read_text_file(path("certificate.json"));
  const std::size_t at = text.find("\"certified\": true");
  ASSERT_NE(at, std::string::npos);
  text.replace(at, 17, "\"certified\": tru?");
  write_text_file(path("certificate.json"), text);
  EXPECT_FALSE(verify_folder(folder_.string()).verification.equal());
}

TEST_F(VerifyFolder, APlanFileThatIsNotTheOneInTheEvidenceIsNamed) {
  write_text_file(path("plan.toml"), std::string(kPlan) + "# changed\n");
  const FolderVerification result = verify_folder(folder_.string());
  ASSERT_EQ(result.verification.differences.size(), 1U);
  EXPECT_EQ(result.verification.differences[0].path, "plan.toml");
}

TEST_F(VerifyFolder, MissingOrForeignFilesAreBadInput) {
  write_text_file(path("run.h5"), "no HDF5");
  EXPECT_THROW(static_cast<void>(verify_folder(folder_.string())), InputError);
  std::filesystem::remove(path("run.h5"));
  EXPECT_THROW(static_cast<void>(verify_folder(folder_.string())), InputError);
  EXPECT_THROW(static_cast<void>(verify_folder("/nonexistent")), InputError);
}

}  // namespace
}  // namespace lockstep::certify
