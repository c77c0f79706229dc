#include <csignal>
#include <filesystem>

#include <gtest/gtest.h>
#include <sys/resource.h>

#include "harness/core/error.hpp"
#include "harness/record/checkpoint.hpp"
#include "tests/record/fixtures.hpp"

namespace lockstep::record {
namespace {

class CheckpointTest : public RecordTest {
 protected:
  [[nodiscard]] std::string part() const { return path("part"); }
};

TEST_F(CheckpointTest, APartIsReadAsItWasWritten) {
  for (const std::uint64_t bytes : {0ULL, 1ULL, 4097ULL, (1ULL << 20U) + 3ULL, 3ULL << 20U}) {
    const CheckpointPart wrote = write_checkpoint_part(part(), 50, 3, bytes);
    EXPECT_TRUE(wrote.verified) << bytes;
    EXPECT_EQ(wrote.bytes, bytes);
    const CheckpointPart read = read_checkpoint_part(part());
    EXPECT_TRUE(read.verified);
    EXPECT_EQ(read.step, 50U);
    EXPECT_EQ(read.rank, 3U);
    EXPECT_EQ(read.bytes, bytes);
    EXPECT_EQ(read.checksum, wrote.checksum);
  }
}

TEST_F(CheckpointTest, ContentsDifferFromRankToRankAndStepToStep) {
  const std::uint64_t first = write_checkpoint_part(part(), 50, 3, 1000).checksum;
  EXPECT_NE(write_checkpoint_part(part(), 50, 4, 1000).checksum, first);
  EXPECT_NE(write_checkpoint_part(part(), 51, 3, 1000).checksum, first);
  EXPECT_EQ(write_checkpoint_part(part(), 50, 3, 1000).checksum, first);
}

TEST_F(CheckpointTest, DamageIsSeen) {
  static_cast<void>(write_checkpoint_part(part(), 1, 0, 5000));
  patch_bytes(part(), 3000, "x");
  EXPECT_FALSE(read_checkpoint_part(part()).verified);
  static_cast<void>(write_checkpoint_part(part(), 1, 0, 5000));
  std::filesystem::resize_file(part(), 4000);
  EXPECT_FALSE(read_checkpoint_part(part()).verified) << "cut short";
  write_bytes(part(), "short");
  EXPECT_THROW(static_cast<void>(read_checkpoint_part(part())), RunError);
  EXPECT_THROW(static_cast<void>(read_checkpoint_part(path("none"))), std::system_error);
}

TEST_F(CheckpointTest, AFullDiskIsToldAndLeavesNothing) {
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit small{2000, before.rlim_max};
  ::signal(SIGXFSZ, SIG_IGN);
  ::setrlimit(RLIMIT_FSIZE, &small);
  int code = 0;
  try {
    static_cast<void>(write_checkpoint_part(part(), 1, 0, 5000));
  } catch (const std::system_error& error) {
    code = error.code().value();
  }
  ::setrlimit(RLIMIT_FSIZE, &before);
  ::signal(SIGXFSZ, SIG_DFL);
  EXPECT_EQ(code, EFBIG);
  EXPECT_FALSE(std::filesystem::exists(part()));
}

TEST_F(CheckpointTest, OnlyACompleteOneCounts) {
  EXPECT_FALSE(latest_checkpoint(folder()));
  EXPECT_FALSE(latest_checkpoint(path("none")));
  for (const char* name : {"step-10", "step-20", "step-30", "step-x", "other"})
    std::filesystem::create_directories(path(name));
  EXPECT_FALSE(latest_checkpoint(folder()));
  mark_complete(folder(), {.step = 20, .ranks = 6});
  mark_complete(folder(), {.step = 10, .ranks = 4});
  EXPECT_EQ(latest_checkpoint(folder()), (CompleteCheckpoint{20, 6}));
  EXPECT_EQ(complete_checkpoint(folder(), 10), (CompleteCheckpoint{10, 4}));
  EXPECT_FALSE(complete_checkpoint(folder(), 30));
  write_bytes(path("step-30/complete"), "step=20\nranks=6\n");
  EXPECT_FALSE(complete_checkpoint(folder(), 30)) << "a marker of another step";
  remove_checkpoints_before(folder(), 20);
  EXPECT_FALSE(std::filesystem::exists(path("step-10")));
  EXPECT_TRUE(std::filesystem::exists(path("step-20/complete")));
  EXPECT_TRUE(std::filesystem::exists(path("other")));
}

TEST(CheckpointNames, AreAsDocumented) {
  LegRow leg;
  leg.name = "joint";
  leg.round = 2;
  EXPECT_EQ(checkpoint_folder_name(leg), "checkpoint-joint-r2");
  EXPECT_EQ(checkpoint_step_name(50), "step-50");
  EXPECT_EQ(checkpoint_part_name(3), "rank-00003.part");
}

TEST(CheckpointShare, IsEvenAndWhole) {
  std::uint64_t sum = 0;
  for (std::uint32_t rank = 0; rank < 7; ++rank) {
    const std::uint64_t share = checkpoint_share(1000, rank, 7);
    EXPECT_GE(share, 142U);
    EXPECT_LE(share, 143U);
    sum += share;
  }
  EXPECT_EQ(sum, 1000U);
}

}  // namespace
}  // namespace lockstep::record
