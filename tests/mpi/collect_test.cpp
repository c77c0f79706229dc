#include "harness/mpi/collect.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "harness/mpi/request.hpp"

namespace lockstep::mpi {
namespace {

constexpr double kDeadlineS = 20.0;

/// A text whose length differs from rank to rank; rank 0's is empty, and zeros and line ends are part of it.
std::string text_of(int rank) {
  std::string text;
  for (int i = 0; i < rank * 1000; ++i)
    text.push_back(static_cast<char>(i % 7 * rank));
  return text;
}

std::vector<std::byte> bytes_of(std::size_t count, int seed) {
  std::vector<std::byte> bytes(count);
  for (std::size_t i = 0; i < count; ++i)
    bytes[i] = static_cast<std::byte>(i * 31 + static_cast<std::size_t>(seed) + (i >> 8));
  return bytes;
}

TEST(AllGatherStrings, BringsUnequalTextsToEveryRank) {
  const Communicator world = Communicator::world();
  const std::vector<std::string> texts = all_gather_strings(world, text_of(world.rank()), kDeadlineS);
  ASSERT_EQ(texts.size(), static_cast<std::size_t>(world.size()));
  for (int rank = 0; rank < world.size(); ++rank)
    EXPECT_EQ(texts[static_cast<std::size_t>(rank)], text_of(rank));
}

TEST(AllGatherStrings, AllMayBeEmpty) {
  const Communicator world = Communicator::world();
  for (const std::string& text : all_gather_strings(world, "", kDeadlineS))
    EXPECT_TRUE(text.empty());
}

TEST(BroadcastString, ComesFromTheRoot) {
  const Communicator world = Communicator::world();
  const int root = world.size() - 1;
  const std::string said = "rank " + std::to_string(world.rank()) + std::string("\0!", 2);
  const std::string heard = broadcast_string(world, said, root, kDeadlineS);
  EXPECT_EQ(heard, "rank " + std::to_string(root) + std::string("\0!", 2));
}

TEST(AllReduce, SumsAndPicksElementByElement) {
  const Communicator world = Communicator::world();
  const double n = world.size();
  const std::vector<double> values{1.0, static_cast<double>(world.rank())};
  EXPECT_EQ(all_reduce(world, values, Reduction::sum, kDeadlineS), (std::vector<double>{n, n * (n - 1) / 2}));
  EXPECT_EQ(all_reduce(world, values, Reduction::max, kDeadlineS), (std::vector<double>{1.0, n - 1}));
  EXPECT_EQ(all_reduce(world, std::int64_t{world.rank()} - 3, Reduction::min, kDeadlineS), -3);
}

TEST(Bytes, TravelWholeWhenLongerThanAPiece) {
  const Communicator world = Communicator::world();
  if (world.size() < 2)
    GTEST_SKIP() << "needs a second rank";
  const std::vector<std::size_t> lengths{0, 1, kPieceBytes, kPieceBytes + 5, 2 * kPieceBytes + 1};
  for (const std::size_t length : lengths) {
    if (world.rank() == 0)
      send_bytes(world, bytes_of(length, 3), world.size() - 1, 11, kDeadlineS);
    if (world.rank() == world.size() - 1) {
      EXPECT_EQ(receive_bytes(world, 0, 11, kDeadlineS), bytes_of(length, 3));
    }
  }
}

TEST(Barrier, HoldsEveryRankUntilTheLastHasCome) {
  const Communicator world = Communicator::world();
  if (world.size() < 2)
    GTEST_SKIP() << "needs a second rank";
  std::int64_t go = 0;
  if (world.rank() != 0) {
    // Enters only once rank 0 has seen its own barrier pending.
    world.start_receive(&go, 1, DataType::i64, 0, 12).wait(kDeadlineS);
    barrier(world, kDeadlineS);
    return;
  }
  Request entered = world.start_barrier();
  for (int look = 0; look < 100; ++look)
    EXPECT_FALSE(entered.test());
  for (int rank = 1; rank < world.size(); ++rank)
    world.start_send(&go, 1, DataType::i64, rank, 12).wait(kDeadlineS);
  entered.wait(kDeadlineS);
}

}  // namespace
}  // namespace lockstep::mpi
