#include "harness/compute/cpu_features.hpp"

#include <gmock/gmock.h>

namespace lockstep::compute {
namespace {

using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

TEST(CpuFeatures, ReadsModelAndFlagsOfAnX86) {
  const CpuFeatures features = parse_cpu_features(
      "processor\t: 0\nvendor_id\t: GenuineIntel\nmodel name\t: Some CPU @ 2.00GHz\nflags\t\t: fpu avx2 "
      "fma\n");
  EXPECT_EQ(features.model, "Some CPU @ 2.00GHz");
  EXPECT_THAT(features.flags, UnorderedElementsAre("fpu", "avx2", "fma"));
  EXPECT_TRUE(features.has("avx2"));
  EXPECT_FALSE(features.has("avx"));
}

TEST(CpuFeatures, KeepsOnlyWhatAllProcessorsHave) {
  const CpuFeatures features =
      parse_cpu_features("flags : avx2 avx512f fma\nflags : avx2 fma\nflags : fma avx2 amx\n");
  EXPECT_THAT(features.flags, UnorderedElementsAre("avx2", "fma"));
}

TEST(CpuFeatures, AProcessorWithoutFlagsLeavesNone) {
  EXPECT_THAT(parse_cpu_features("flags : avx2\nflags :\nflags : avx2\n").flags, IsEmpty());
}

TEST(CpuFeatures, ReadsAnArm) {
  const CpuFeatures features = parse_cpu_features(
      "processor\t: 0\nFeatures\t: fp asimd sve\nCPU implementer\t: 0x41\nCPU architecture: 8\nCPU part\t: "
      "0xd40\n");
  EXPECT_EQ(features.model, "arm 0x41 0xd40");
  EXPECT_TRUE(features.has("sve"));
}

TEST(CpuFeatures, NonsenseGivesNothing) {
  EXPECT_THAT(parse_cpu_features("").flags, IsEmpty());
  const CpuFeatures features = parse_cpu_features("no colon here\n: \n\n::::\nFLAGS: avx2\n");
  EXPECT_THAT(features.flags, IsEmpty());
  EXPECT_EQ(features.model, "");
}

TEST(CpuFeatures, ThisMachineHasSome) {
  EXPECT_FALSE(read_cpu_features().flags.empty());
}

}  // namespace
}  // namespace lockstep::compute
