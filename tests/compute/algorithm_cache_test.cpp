#include "harness/compute/algorithm_cache.hpp"

#include <gmock/gmock.h>

#include "harness/core/posix.hpp"
#include "tests/compute/temporary_folder.hpp"

namespace lockstep::compute {
namespace {

constexpr std::int64_t kDayNs = 24LL * 3600 * 1'000'000'000;
constexpr std::int64_t kNowNs = 1000 * kDayNs;
const AlgorithmKey kKey{"NVIDIA H200", "13.1.0", "13.0"};

StoredAlgorithm algorithm(std::uint64_t seed) {
  StoredAlgorithm made;
  for (std::uint64_t& word : made.algorithm.words)
    word = seed++ * 0x123456789abcdefULL;
  made.algorithm.workspace_bytes = 33'554'432;
  made.seconds = 1.25e-3;
  made.gain = 1.5;
  return made;
}

TEST(AlgorithmCache, RemembersWhatWasPut) {
  const testing::TemporaryFolder folder;
  AlgorithmCache cache(folder.path() + "/deeper", kKey, kNowNs);
  EXPECT_FALSE(cache.find("nn.1x2x3"));
  cache.put("nn.1x2x3", algorithm(1));
  cache.put("nt.4x5x6", algorithm(2));
  EXPECT_EQ(cache.store(kNowNs), "");
  const AlgorithmCache again(folder.path() + "/deeper", kKey, kNowNs + kDayNs);
  EXPECT_EQ(again.size(), 2U);
  EXPECT_EQ(again.find("nn.1x2x3"), algorithm(1));
  EXPECT_EQ(again.find("nt.4x5x6"), algorithm(2));
  EXPECT_FALSE(again.find("nt.4x5"));
}

TEST(AlgorithmCache, ADifferentCardLibraryOrDriverKnowsNothingOfIt) {
  const testing::TemporaryFolder folder;
  AlgorithmCache cache(folder.path(), kKey, kNowNs);
  cache.put("p", algorithm(1));
  EXPECT_EQ(cache.store(kNowNs), "");
  for (const AlgorithmKey& other :
       {AlgorithmKey{"NVIDIA H100", "13.1.0", "13.0"}, AlgorithmKey{"NVIDIA H200", "13.2.0", "13.0"},
        AlgorithmKey{"NVIDIA H200", "13.1.0", "13.1"}})
    EXPECT_EQ(AlgorithmCache(folder.path(), other, kNowNs).size(), 0U);
}

TEST(AlgorithmCache, WhatIsOldOrDamagedIsNotThere) {
  const testing::TemporaryFolder folder;
  AlgorithmCache cache(folder.path(), kKey, kNowNs);
  cache.put("p", algorithm(1));
  EXPECT_EQ(cache.store(kNowNs), "");
  EXPECT_EQ(AlgorithmCache(folder.path(), kKey, kNowNs + 31 * kDayNs).size(), 0U);
  EXPECT_EQ(AlgorithmCache(folder.path(), kKey, kNowNs - kDayNs).size(), 0U) << "of the future";
  const std::string text = read_text_file(cache.path());
  for (std::size_t i = 0; i < text.size(); i += 7) {
    std::string damaged = text;
    damaged[i] = damaged[i] == 'x' ? 'y' : 'x';
    write_text_file(cache.path(), damaged);
    ASSERT_EQ(AlgorithmCache(folder.path(), kKey, kNowNs).size(), 0U) << "byte " << i;
  }
  write_text_file(cache.path(), text.substr(0, text.size() / 2));
  EXPECT_EQ(AlgorithmCache(folder.path(), kKey, kNowNs).size(), 0U);
}

TEST(AlgorithmCache, KeepsWhatAnotherProcessStoredMeanwhile) {
  const testing::TemporaryFolder folder;
  AlgorithmCache first(folder.path(), kKey, kNowNs);
  AlgorithmCache second(folder.path(), kKey, kNowNs);
  first.put("a", algorithm(1));
  second.put("b", algorithm(2));
  EXPECT_EQ(first.store(kNowNs), "");
  EXPECT_EQ(second.store(kNowNs), "");
  const AlgorithmCache both(folder.path(), kKey, kNowNs);
  EXPECT_EQ(both.find("a"), algorithm(1));
  EXPECT_EQ(both.find("b"), algorithm(2));
}

TEST(AlgorithmCache, WithoutAFolderItKeepsThingsToItself) {
  AlgorithmCache cache("", kKey, kNowNs);
  cache.put("p", algorithm(1));
  EXPECT_EQ(cache.store(kNowNs), "");
  EXPECT_TRUE(cache.find("p"));
  EXPECT_EQ(AlgorithmCache("", kKey, kNowNs).size(), 0U);
}

TEST(AlgorithmCache, SaysWhyItCouldNotBeStored) {
  const testing::TemporaryFolder folder;
  write_text_file(folder.path() + "/file", "in the way");
  AlgorithmCache cache(folder.path() + "/file", kKey, kNowNs);
  EXPECT_EQ(cache.store(kNowNs), "") << "nothing to store";
  cache.put("p", algorithm(1));
  EXPECT_THAT(cache.store(kNowNs), ::testing::HasSubstr("cannot create"));
}

}  // namespace
}  // namespace lockstep::compute
