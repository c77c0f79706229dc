#include <algorithm>
#include <cstdlib>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "harness/core/version.hpp"
#include "harness/record/provenance.hpp"
#include "tests/record/fixtures.hpp"

namespace lockstep::record {
namespace {

using testing::HasSubstr;
using testing::Not;

class ProvenanceTest : public RecordTest {};

const ProvenanceRow* find(const std::vector<ProvenanceRow>& rows, const std::string& key) {
  const auto found =
      std::find_if(rows.begin(), rows.end(), [&](const ProvenanceRow& row) { return row.key == key; });
  return found == rows.end() ? nullptr : &*found;
}

TEST_F(ProvenanceTest, TellsWhatMatters) {
  const std::vector<ProvenanceRow> rows = machine_provenance(2, 5);
  for (const char* key :
       {"lockstep.version", "compiler", "hdf5.version", "kernel.release", "cpu.usable", "memory.total"}) {
    ASSERT_NE(find(rows, key), nullptr) << key;
    EXPECT_FALSE(find(rows, key)->value.empty()) << key;
  }
  EXPECT_EQ(find(rows, "lockstep.version")->value, version());
  for (const ProvenanceRow& row : rows) {
    EXPECT_EQ(row.leg, 2);
    EXPECT_EQ(row.rank, 5);
  }
}

TEST_F(ProvenanceTest, OnlyKnownSettingsAreTaken) {
  const std::vector<std::string> environment = {"PATH=/bin",
                                                "OMP_NUM_THREADS=2",
                                                "HOME=/root",
                                                "NCCL_ALGO=Ring",
                                                "OMPI_MCA_btl_tcp_eager_limit=8388608",
                                                "OMPI_MCA_orte_precondition_transports=0123-4567",
                                                "OMPI_MCA_ess_base_jobid=17",
                                                "SLURM_JOB_ID=9",
                                                "SLURM_JWT=eyJ",
                                                "NO_EQUALS_SIGN",
                                                "MY_NCCL_ALGO=Tree"};
  const std::vector<Setting> expected = {{"NCCL_ALGO", "Ring"},
                                         {"OMPI_MCA_btl_tcp_eager_limit", "8388608"},
                                         {"OMP_NUM_THREADS", "2"},
                                         {"SLURM_JOB_ID", "9"}};
  EXPECT_EQ(recordable_settings(environment), expected);
}

TEST_F(ProvenanceTest, SecretsUnderKnownPrefixesStayOut) {
  const std::vector<std::string> environment = {"NCCL_AUTH_TOKEN=s",       "UCX_KEY=s",
                                                "OMPI_MCA_sec_password=s", "NCCL_client_secret=s",
                                                "FI_CREDENTIALS=s",        "NCCL_PROXY=http://me:s@host/"};
  EXPECT_TRUE(recordable_settings(environment).empty());
}

TEST_F(ProvenanceTest, APlantedSecretIsNowhereInTheFiles) {
  const std::string secret = "hunter2-do-not-record";
  ASSERT_EQ(::setenv("LOCKSTEP_TEST_SECRET", secret.c_str(), 1), 0);
  ASSERT_EQ(::setenv("AWS_SECRET_ACCESS_KEY", secret.c_str(), 1), 0);
  ASSERT_EQ(::setenv("NCCL_API_TOKEN", secret.c_str(), 1), 0);
  ASSERT_EQ(::setenv("NCCL_DEBUG", "recorded-on-purpose", 1), 0);
  const std::vector<ProvenanceRow> rows = machine_provenance(-1, -1);
  {
    RunFileWriter writer(path("run.h5"), "plan", "now");
    writer.append(std::span<const ProvenanceRow>(rows));
    writer.close();
  }
  RankMeta meta = sample_meta(0);
  meta.provenance = rows;
  static_cast<void>(Journal::create(path("journal"), meta, 1, 1, kSampleOps, kSampleComms));
  for (const char* file : {"run.h5", "journal"}) {
    EXPECT_THAT(file_bytes(path(file)), HasSubstr("recorded-on-purpose")) << "this test would not see a leak";
    EXPECT_THAT(file_bytes(path(file)), Not(HasSubstr(secret)));
  }
  for (const char* name : {"LOCKSTEP_TEST_SECRET", "AWS_SECRET_ACCESS_KEY", "NCCL_API_TOKEN", "NCCL_DEBUG"})
    ::unsetenv(name);
}

}  // namespace
}  // namespace lockstep::record
