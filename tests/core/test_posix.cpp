#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness/core/error.hpp"
#include "harness/core/posix.hpp"

namespace lockstep {
namespace {

namespace fs = std::filesystem;

class PosixTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(testing::TempDir()) / ("lockstep_posix_" + std::to_string(::getpid()));
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }
  [[nodiscard]] std::string path(const char* name) const { return (folder_ / name).string(); }
  fs::path folder_;
};

TEST_F(PosixTest, MappedFileKeepsWhatWasStored) {
  {
    MappedFile file = MappedFile::create(path("map"), 10'000);
    ASSERT_EQ(file.bytes().size(), 10'000U);
    file.bytes()[9'999] = std::byte{7};
  }
  const MappedFile file = MappedFile::open_readonly(path("map"));
  EXPECT_EQ(file.bytes()[9'999], std::byte{7});
  EXPECT_EQ(file.bytes()[0], std::byte{0});
}

TEST_F(PosixTest, MappedFileReportsWhatItCannotDo) {
  EXPECT_THROW(MappedFile::create(path("no/such/folder"), 10), RunError);
  EXPECT_THROW(MappedFile::open_readonly(path("absent")), RunError);
  EXPECT_THROW(MappedFile::create(path("huge"), std::size_t{1} << 60), RunError);
  EXPECT_FALSE(fs::exists(path("huge"))) << "a file that could not be reserved is not left behind";
}

TEST_F(PosixTest, TextFilesAreWrittenWholeOrNotAtAll) {
  write_text_file(path("text"), "one");
  write_text_file(path("text"), "two");
  EXPECT_EQ(read_text_file(path("text")), "two");
  EXPECT_THROW(write_text_file(path("no/such/folder"), "x"), RunError);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_), fs::directory_iterator{}), 1)
      << "no temporary file stays";
}

TEST_F(PosixTest, ReadingRefusesFoldersAndAbsentFiles) {
  EXPECT_THROW((void)read_text_file(folder_.string()), InputError);
  EXPECT_THROW((void)read_text_file(path("absent")), InputError);
}

TEST(Machine, IsDescribed) {
  EXPECT_FALSE(short_host_name().empty());
  EXPECT_EQ(short_host_name().find('.'), std::string::npos);
  EXPECT_EQ(boot_id().size(), 36U);
  EXPECT_GE(usable_cpus(), 1);
}

}  // namespace
}  // namespace lockstep
