#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "harness/campaign/campaign.hpp"
#include "harness/core/error.hpp"

namespace lockstep::campaign {
namespace {

using testing::HasSubstr;

TEST(ResultsFolder, TakenNamesAreCounted) {
  const std::string base = testing::TempDir() + "folders-" + std::to_string(::getpid());
  EXPECT_EQ(ResultsFolder::create(base, "two sites/x", 0).path(), base + "/two-sites-x-19700101T000000Z");
  EXPECT_EQ(ResultsFolder::create(base, "two sites/x", 0).path(), base + "/two-sites-x-19700101T000000Z-2");
  EXPECT_EQ(ResultsFolder::create(base, "two sites/x", 0).path(), base + "/two-sites-x-19700101T000000Z-3");
  std::filesystem::remove_all(base);
}

TEST(ResultsFolder, IsOneRunsAtATime) {
  const std::string path = testing::TempDir() + "folder-" + std::to_string(::getpid());
  {
    const ResultsFolder folder = ResultsFolder::open(path + "/");
    EXPECT_EQ(folder.path(), path);
    EXPECT_THROW(static_cast<void>(ResultsFolder::open(path)), InputError);
  }
  EXPECT_NO_THROW(static_cast<void>(ResultsFolder::open(path)));
  std::filesystem::remove_all(path);
}

TEST(ResultsFolder, RefusesAPlaceThatCannotBeWritten) {
  EXPECT_THROW(static_cast<void>(ResultsFolder::create("/proc/none", "p", 0)), InputError);
  EXPECT_THROW(static_cast<void>(ResultsFolder::create("/dev/null", "p", 0)), InputError);
}

}  // namespace
}  // namespace lockstep::campaign
