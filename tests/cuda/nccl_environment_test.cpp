#include "harness/cuda/nccl_environment.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lockstep::cuda {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::Not;

auto setting(const std::string& name, const std::string& value) {
  return AllOf(Field(&NcclSetting::name, name), Field(&NcclSetting::value, value));
}

TEST(NcclEnvironment, TakesItsOwnVariablesAloneAndInOrder) {
  EXPECT_THAT(nccl_settings({"PATH=/bin", "NCCL_PROTO=Simple", "NCCL_ALGO=Ring,Tree", "XNCCL_A=1", "NCCL_B",
                             "NCCL_DEBUG_FILE=/tmp/a=b"}),
              ElementsAre(setting("NCCL_ALGO", "Ring,Tree"), setting("NCCL_DEBUG_FILE", "/tmp/a=b"),
                          setting("NCCL_PROTO", "Simple")));
}

TEST(NcclEnvironment, ReadsAFileWithComments) {
  const auto found = nccl_settings_in_file(
      "/etc/nccl.conf", "# site defaults\nNCCL_SOCKET_IFNAME = eth0 # the slow one\n\nNCCL_DEBUG=WARN\n=x\n");
  EXPECT_THAT(found, ElementsAre(setting("NCCL_DEBUG", "WARN"), setting("NCCL_SOCKET_IFNAME", "eth0")));
  EXPECT_EQ(found[0].from, "/etc/nccl.conf");
}

TEST(NcclEnvironment, SaysWhatItKnowsOfTheTuningAndWhatItCannot) {
  EXPECT_THAT(nccl_tuning({}), HasSubstr("left to NCCL's tuner, which does not tell"));
  EXPECT_THAT(nccl_tuning({{"NCCL_ALGO", "Ring", ""}}),
              AllOf(HasSubstr("NCCL_ALGO=Ring"), HasSubstr("the rest is left to NCCL's tuner")));
  EXPECT_THAT(nccl_tuning({{"NCCL_ALGO", "Ring", ""}, {"NCCL_PROTO", "LL128", ""}}),
              AllOf(HasSubstr("NCCL_ALGO=Ring, NCCL_PROTO=LL128"), Not(HasSubstr("the rest"))));
}

TEST(NcclEnvironment, SaysWhatRestrictsTheTransport) {
  EXPECT_THAT(nccl_transport({}), HasSubstr("left to NCCL, which tells it"));
  EXPECT_THAT(nccl_transport({{"NCCL_IB_DISABLE", "1", ""}, {"NCCL_ALGO", "Ring", ""}}),
              AllOf(HasSubstr("restricted by NCCL_IB_DISABLE=1,"), Not(HasSubstr("ALGO"))));
}

TEST(NcclEnvironment, AValueThatIsNotSetIsEmpty) {
  EXPECT_EQ(value_of({{"NCCL_ALGO", "Ring", ""}}, "NCCL_ALGO"), "Ring");
  EXPECT_EQ(value_of({}, "NCCL_ALGO"), "");
}

}  // namespace
}  // namespace lockstep::cuda
