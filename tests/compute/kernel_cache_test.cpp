#include "harness/compute/kernel_cache.hpp"

#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness/core/posix.hpp"
#include "tests/compute/temporary_folder.hpp"

namespace lockstep::compute {
namespace {

namespace fs = std::filesystem;
constexpr std::int64_t kNow = 1'800'000'000'000'000'000;
constexpr std::int64_t kDay = std::int64_t{86'400} * 1'000'000'000;
const std::string kKey(64, 'a');

std::vector<CatalogEntry> two_entries() {
  GemmKernel first;
  first.name = "openblas";
  first.library_path = "/x/libopenblas.so.0";
  GemmKernel second = first;
  second.name = "openblas:Zen";
  second.environment = {{"OPENBLAS_CORETYPE", "Zen"}};
  return {{first, CatalogEntry::Probing::always}, {second, CatalogEntry::Probing::always}};
}

std::vector<KernelMeasurement> two_rows() {
  KernelMeasurement first;
  first.kernel = two_entries()[0].kernel;
  first.status = KernelStatus::crashed;
  first.extent = 1024;
  first.detail = "signal 4\t(Illegal\ninstruction)";
  KernelMeasurement second;
  second.kernel = two_entries()[1].kernel;
  second.kernel.core_name = "Zen";
  second.status = KernelStatus::measured;
  second.extent = 2048;
  second.gflops = 81.25;
  return {first, second};
}

std::string only_file(const std::string& folder) {
  std::string found;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() == ".txt")
      found = entry.path().string();
  }
  return found;
}

void overwrite(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

TEST(KernelCache, GivesBackWhatWasStored) {
  const testing::TemporaryFolder folder;
  const KernelCache cache(folder.path() + "/deep/er", kKey);
  EXPECT_FALSE(cache.load(two_entries(), kNow));
  ASSERT_EQ(cache.store(two_rows(), kNow), "");
  const auto rows = cache.load(two_entries(), kNow + kDay);
  ASSERT_TRUE(rows);
  ASSERT_EQ(rows->size(), 2U);
  EXPECT_EQ((*rows)[0].status, KernelStatus::crashed);
  EXPECT_EQ((*rows)[0].detail, "signal 4 (Illegal instruction)");
  EXPECT_EQ((*rows)[1].kernel.name, "openblas:Zen");
  EXPECT_EQ((*rows)[1].kernel.core_name, "Zen");
  EXPECT_EQ((*rows)[1].kernel.environment.size(), 1U) << "the environment comes from the catalogue";
  EXPECT_EQ((*rows)[1].extent, 2048U);
  EXPECT_DOUBLE_EQ((*rows)[1].gflops, 81.25);
}

TEST(KernelCache, AnyDamageCountsAsNotThere) {
  const testing::TemporaryFolder folder;
  const KernelCache cache(folder.path(), kKey);
  ASSERT_EQ(cache.store(two_rows(), kNow), "");
  const std::string path = only_file(folder.path());
  const std::string good = read_text_file(path);
  for (std::size_t i = 0; i < good.size(); ++i) {
    std::string bad = good;
    bad[i] = bad[i] == '7' ? '8' : '7';
    overwrite(path, bad);
    EXPECT_FALSE(cache.load(two_entries(), kNow)) << "changed byte " << i;
    overwrite(path, good.substr(0, i));
    EXPECT_FALSE(cache.load(two_entries(), kNow)) << "cut at byte " << i;
  }
  overwrite(path, good);
  EXPECT_TRUE(cache.load(two_entries(), kNow));
  ASSERT_EQ(cache.store(two_rows(), kNow), "") << "a damaged file can be replaced";
}

TEST(KernelCache, OldOrFutureRowsDoNotHold) {
  const testing::TemporaryFolder folder;
  const KernelCache cache(folder.path(), kKey);
  ASSERT_EQ(cache.store(two_rows(), kNow), "");
  EXPECT_TRUE(cache.load(two_entries(), kNow + 29 * kDay));
  EXPECT_FALSE(cache.load(two_entries(), kNow + 31 * kDay));
  EXPECT_FALSE(cache.load(two_entries(), kNow - kDay));
}

TEST(KernelCache, AnotherKeyWithTheSameFileNameDoesNotHold) {
  const testing::TemporaryFolder folder;
  std::string other = kKey;
  other.back() = 'b';  // the file's name holds the first digits only
  ASSERT_EQ(KernelCache(folder.path(), kKey).store(two_rows(), kNow), "");
  EXPECT_FALSE(KernelCache(folder.path(), other).load(two_entries(), kNow));
}

TEST(KernelCache, RowsOfAnUnknownKernelOrWithoutAnyRateDoNotHold) {
  const testing::TemporaryFolder folder;
  const KernelCache cache(folder.path(), kKey);
  ASSERT_EQ(cache.store(two_rows(), kNow), "");
  EXPECT_FALSE(cache.load({two_entries()[1]}, kNow));
  ASSERT_EQ(cache.store({two_rows()[0]}, kNow), "");
  EXPECT_FALSE(cache.load(two_entries(), kNow));
}

TEST(KernelCache, WithoutAFolderNothingIsKept) {
  const KernelCache cache("", kKey);
  EXPECT_NE(cache.store(two_rows(), kNow), "");
  EXPECT_FALSE(cache.load(two_entries(), kNow));
  EXPECT_FALSE(cache.lock(0.0).valid());
}

TEST(KernelCache, AFolderThatCannotBeMadeIsSaidAndNotThrown) {
  const testing::TemporaryFolder folder;
  overwrite(folder.path() + "/file", "x");
  const KernelCache cache(folder.path() + "/file/below", kKey);
  EXPECT_NE(cache.store(two_rows(), kNow), "");
  EXPECT_FALSE(cache.lock(0.0).valid());
}

TEST(KernelCache, OneProcessAtATimeHoldsTheLock) {
  const testing::TemporaryFolder folder;
  const KernelCache cache(folder.path(), kKey);
  UniqueFd held = cache.lock(0.0);
  ASSERT_TRUE(held.valid());
  EXPECT_FALSE(cache.lock(0.0).valid());
  held.reset();
  EXPECT_TRUE(cache.lock(0.0).valid());
}

TEST(KernelCache, ConcurrentWritersNeverShowHalfAFile) {
  const testing::TemporaryFolder folder;
  const KernelCache cache(folder.path(), kKey);
  ASSERT_EQ(cache.store(two_rows(), kNow), "");
  std::vector<pid_t> writers;
  for (int i = 0; i < 3; ++i) {
    const pid_t pid = ::fork();
    ASSERT_GE(pid, 0);
    if (pid == 0) {
      bool good = true;
      for (int round = 0; round < 20; ++round)
        good =
            cache.store(two_rows(), kNow + round).empty() && cache.load(two_entries(), kNow + kDay) && good;
      ::_exit(good ? 0 : 1);
    }
    writers.push_back(pid);
  }
  for (const pid_t pid : writers) {
    int status = -1;
    ::waitpid(pid, &status, 0);
    EXPECT_EQ(status, 0);
  }
  EXPECT_EQ(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator{}), 1)
      << "no leftovers";
}

TEST(KernelCache, TheKeyFollowsEverythingThatTheRateDependsOn) {
  const testing::TemporaryFolder folder;
  const std::string library = folder.path() + "/libopenblas.so.0";
  overwrite(library, "one");
  const CpuFeatures features{.model = "a", .flags = {"avx2"}};
  const std::vector<BlasLibrary> libraries{{BlasFamily::openblas, library}};
  const std::string key = cache_key(features, libraries, two_entries());
  EXPECT_EQ(key.size(), 64U);
  EXPECT_EQ(cache_key(features, libraries, two_entries()), key);
  EXPECT_NE(cache_key({.model = "b", .flags = {"avx2"}}, libraries, two_entries()), key);
  EXPECT_NE(cache_key({.model = "a", .flags = {"avx2", "fma"}}, libraries, two_entries()), key);
  EXPECT_NE(cache_key(features, {}, two_entries()), key);
  EXPECT_NE(cache_key(features, libraries, {two_entries()[0]}), key);
  overwrite(library, "longer");
  EXPECT_NE(cache_key(features, libraries, two_entries()), key) << "size";
  overwrite(library, "two");
  fs::last_write_time(library, fs::last_write_time(library) + std::chrono::hours(1));
  EXPECT_NE(cache_key(features, libraries, two_entries()), key) << "time of change";
}

TEST(KernelCache, LivesWhereTheUserKeepsCaches) {
  const auto with = [](const char* cache, const char* home) {
    const char* old_cache = std::getenv("XDG_CACHE_HOME");
    const char* old_home = std::getenv("HOME");
    const std::string kept_cache = old_cache != nullptr ? old_cache : "";
    const std::string kept_home = old_home != nullptr ? old_home : "";
    ::setenv("XDG_CACHE_HOME", cache, 1);
    ::setenv("HOME", home, 1);
    std::string folder = default_cache_folder();
    ::setenv("XDG_CACHE_HOME", kept_cache.c_str(), 1);
    ::setenv("HOME", kept_home.c_str(), 1);
    return folder;
  };
  EXPECT_EQ(with("/c", "/h"), "/c/lockstep");
  EXPECT_EQ(with("", "/h"), "/h/.cache/lockstep");
  EXPECT_EQ(with("relative", "/h"), "/h/.cache/lockstep");
  EXPECT_EQ(with("", ""), "");
}

}  // namespace
}  // namespace lockstep::compute
