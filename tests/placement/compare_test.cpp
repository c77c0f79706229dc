#include "harness/placement/compare.hpp"

#include <gmock/gmock.h>

#include "harness/core/error.hpp"

namespace lockstep::placement {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const std::vector<VisibleGpu> kTwo = {{0, "0000:01:00.0", "GPU-1"}, {1, "0000:02:00.0", "GPU-2"}};

TakenGpu first(const std::string& machine) {
  return {machine, "0000:01:00.0", machine + "-GPU-1"};
}
TakenGpu second(const std::string& machine) {
  return {machine, "0000:02:00.0", machine + "-GPU-2"};
}

TEST(TakenGpu, SurvivesTheTrip) {
  const TakenGpu back = decode_taken_gpu(encode(second("boot")));
  EXPECT_EQ(back.machine, "boot");
  EXPECT_EQ(back.bus_id, "0000:02:00.0");
  EXPECT_EQ(back.uuid, "boot-GPU-2");
  EXPECT_EQ(decode_taken_gpu(encode({"boot", "", ""})).bus_id, "");
  for (const char* line : {"", "boot", "a\tb\tc\td"})
    EXPECT_THROW(static_cast<void>(decode_taken_gpu(line)), RunError) << line;
}

TEST(SharingWarnings, NoneWhenEachHasItsOwn) {
  // Same addresses on another machine are other GPUs.
  const std::vector<TakenGpu> all = {first("a"), second("a"), first("b"), second("b")};
  const std::vector<VisibleGpu> visible = {{0, "0000:01:00.0", "a-GPU-1"}, {1, "0000:02:00.0", "a-GPU-2"}};
  EXPECT_THAT(sharing_warnings(all, 0, visible, 2), IsEmpty());
}

TEST(SharingWarnings, SharedGpusNameTheirRanks) {
  const auto warnings = sharing_warnings({first("b"), first("a"), second("a"), first("a")}, 1, {}, 3);
  ASSERT_THAT(warnings, SizeIs(1));
  EXPECT_THAT(warnings[0], AllOf(HasSubstr("ranks 1, 3 share GPU 0000:01:00.0"), HasSubstr("NCCL_HOSTID")));
}

TEST(SharingWarnings, WithoutUuidsTheAddressTells) {
  const TakenGpu one{"a", "0000:01:00.0", ""};
  EXPECT_THAT(sharing_warnings({one, one}, 0, {}, 2), SizeIs(1));
}

TEST(SharingWarnings, InstancesOfOneGpuAreNotShared) {
  const TakenGpu one{"a", "0000:01:00.0", "MIG-1"};
  const TakenGpu other{"a", "0000:01:00.0", "MIG-2"};
  EXPECT_THAT(sharing_warnings({one, other}, 0, {{0, "0000:01:00.0", "MIG-1"}}, 2), IsEmpty());
  const auto shared = sharing_warnings({one, one}, 0, {}, 2);
  ASSERT_THAT(shared, SizeIs(1));
  EXPECT_THAT(shared[0], HasSubstr("MIG-1 of 0000:01:00.0"));
}

TEST(SharingWarnings, GpusThatNobodyUsesAreNamed) {
  const TakenGpu one{"a", "0000:01:00.0", "GPU-1"};
  const auto idle = sharing_warnings({one}, 0, kTwo, 1);
  ASSERT_THAT(idle, SizeIs(1));
  EXPECT_THAT(idle[0], AllOf(HasSubstr("no rank uses GPU 0000:02:00.0"), HasSubstr("2 visible, 1 ranks")));
  EXPECT_THAT(sharing_warnings({one}, 0, kTwo, 2), IsEmpty()) << "the other site's, in the joint leg";
}

TEST(SharingWarnings, RanksWithoutAGpuShareNone) {
  EXPECT_THAT(sharing_warnings({{"a", "", ""}, {"a", "", ""}}, 0, {}, 2), IsEmpty());
}

}  // namespace
}  // namespace lockstep::placement
