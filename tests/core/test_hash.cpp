#include <array>
#include <filesystem>
#include <fstream>
#include <set>

#include <gtest/gtest.h>

#include "harness/core/error.hpp"
#include "harness/core/hash.hpp"

namespace lockstep {
namespace {

TEST(Sha256, MatchesThePublishedVectors) {
  // FIPS 180-2, appendix B.1, and the empty message.
  EXPECT_EQ(sha256("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST(Sha256, OfAFileIsThatOfItsBytes) {
  const auto path = std::filesystem::path(testing::TempDir()) / "lockstep_hash_test";
  const std::string bytes(200'000, 'x');
  std::ofstream(path, std::ios::binary) << bytes;
  EXPECT_EQ(sha256_file(path), sha256(bytes));
  std::filesystem::remove(path);
  EXPECT_THROW((void)sha256_file(path), RunError);
}

TEST(Checksum64, SeesEverySingleBit) {
  std::array<std::byte, 21> data{};
  std::set<std::uint64_t> seen{checksum64(data)};
  for (std::size_t bit = 0; bit < data.size() * 8; ++bit) {
    auto flipped = data;
    flipped[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
    EXPECT_TRUE(seen.insert(checksum64(flipped)).second) << "bit " << bit;
  }
  EXPECT_NE(checksum64(data, 1), checksum64(data, 2));
}

TEST(Mix64, HasNoShortCycle) {
  std::set<std::uint64_t> seen;
  for (std::uint64_t i = 0; i < 10'000; ++i)
    EXPECT_TRUE(seen.insert(mix64(i)).second);
}

}  // namespace
}  // namespace lockstep
