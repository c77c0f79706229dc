#include "harness/mpi/communicator.hpp"

#include <cstdint>
#include <numeric>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "harness/mpi/collect.hpp"
#include "harness/mpi/error.hpp"

namespace lockstep::mpi {
namespace {

constexpr double kDeadlineS = 20.0;

TEST(Communicator, SplitsByColorAndOrdersByKey) {
  const Communicator world = Communicator::world();
  const int color = world.rank() % 2;
  const Communicator part = world.split(color, -world.rank(), kDeadlineS);
  const int members = (world.size() + (color == 0 ? 1 : 0)) / 2;
  EXPECT_EQ(part.size(), members);
  EXPECT_EQ(part.rank(), members - 1 - world.rank() / 2);
}

TEST(Communicator, DuplicateHasMessagesOfItsOwn) {
  const Communicator world = Communicator::world();
  const Communicator copy = world.duplicate(kDeadlineS);
  EXPECT_EQ(copy.size(), world.size());
  EXPECT_EQ(copy.rank(), world.rank());
  const int self = world.rank();
  std::int64_t from_world = 0;
  std::int64_t from_copy = 0;
  Request a = world.start_receive(&from_world, 1, DataType::i64, self, 7);
  Request b = copy.start_receive(&from_copy, 1, DataType::i64, self, 7);
  const std::int64_t one = 1;
  const std::int64_t two = 2;
  Request c = copy.start_send(&two, 1, DataType::i64, self, 7);
  Request d = world.start_send(&one, 1, DataType::i64, self, 7);
  for (Request* request : {&a, &b, &c, &d})
    request->wait(kDeadlineS);
  EXPECT_EQ(from_world, 1);
  EXPECT_EQ(from_copy, 2);
}

TEST(Communicator, MoveLeavesNothingBehind) {
  const Communicator world = Communicator::world();
  Communicator first = world.duplicate(kDeadlineS);
  Communicator second = world.split(0, world.rank(), kDeadlineS);
  second = std::move(first);
  EXPECT_EQ(all_reduce(second, std::int64_t{1}, Reduction::sum, kDeadlineS), world.size());
}

TEST(Communicator, BadRankIsAnMpiErrorWithTheCallsName) {
  const Communicator world = Communicator::world();
  const double value = 0.0;
  try {
    Request request = world.start_send(&value, 1, DataType::f64, world.size() + 3, 0);
    FAIL() << "rank " << world.size() + 3 << " was accepted";
  } catch (const MpiError& error) {
    EXPECT_EQ(error.call(), "MPI_Isend");
    EXPECT_EQ(error.error_class(), MPI_ERR_RANK);
    EXPECT_THAT(error.what(), testing::HasSubstr("MPI_Isend failed: MPI_ERR_RANK"));
  }
}

TEST(Request, ErrorOfTheOperationComesOutOfTheTest) {
  const Communicator world = Communicator::world();
  if (world.size() < 2)
    GTEST_SKIP() << "Open MPI 4.1 does not notice this in a message to oneself";
  const std::vector<double> sent(8, 1.0);
  const int next = (world.rank() + 1) % world.size();
  const int previous = (world.rank() + world.size() - 1) % world.size();
  double room = 0.0;
  Request receive = world.start_receive(&room, 1, DataType::f64, previous, 1);
  Request send = world.start_send(sent.data(), sent.size(), DataType::f64, next, 1);
  try {
    receive.wait(kDeadlineS);
    FAIL() << "a message longer than its place was accepted";
  } catch (const MpiError& error) {
    EXPECT_EQ(error.call(), "MPI_Irecv");
    EXPECT_EQ(error.error_class(), MPI_ERR_TRUNCATE);
  }
  EXPECT_FALSE(receive.is_pending());
  send.wait(kDeadlineS);
}

TEST(Request, DeadlineNamesTheCallAndLeavesTheRequestUsable) {
  const Communicator world = Communicator::world();
  const int self = world.rank();
  std::int64_t room = 0;
  Request receive = world.start_receive(&room, 1, DataType::i64, self, 2);
  try {
    receive.wait(0.02);
    FAIL() << "nothing had been sent";
  } catch (const DeadlineError& error) {
    EXPECT_EQ(error.call(), "MPI_Irecv");
    EXPECT_STREQ(error.what(), "MPI_Irecv did not complete within 0.02 s");
  }
  EXPECT_TRUE(receive.is_pending());
  const std::int64_t value = 42;
  Request send = world.start_send(&value, 1, DataType::i64, self, 2);
  receive.wait(kDeadlineS);
  send.wait(kDeadlineS);
  EXPECT_EQ(room, 42);
}

TEST(Request, ReceiveCanBeTakenBack) {
  const Communicator world = Communicator::world();
  std::int64_t room = 0;
  Request receive = world.start_receive(&room, 1, DataType::i64, world.rank(), 3);
  receive.cancel_receive(kDeadlineS);
  EXPECT_FALSE(receive.is_pending());
  EXPECT_EQ(abandoned_requests(), 0U);
}

TEST(Collectives, FollowTheirBlockLayout) {
  const Communicator world = Communicator::world();
  const auto n = static_cast<std::size_t>(world.size());
  const auto me = static_cast<std::size_t>(world.rank());
  const std::size_t block = 3;
  std::vector<std::int64_t> from(n * block);
  std::iota(from.begin(), from.end(), static_cast<std::int64_t>(100 * me));

  std::vector<std::int64_t> scattered(block);
  world.start_reduce_scatter(from.data(), scattered.data(), block, DataType::i64).wait(kDeadlineS);
  std::vector<std::int64_t> exchanged(n * block);
  world.start_all_to_all(from.data(), exchanged.data(), block, DataType::i64).wait(kDeadlineS);
  for (std::size_t i = 0; i < block; ++i) {
    EXPECT_EQ(scattered[i], static_cast<std::int64_t>(50 * n * (n - 1) + n * (me * block + i)));
    for (std::size_t rank = 0; rank < n; ++rank)
      EXPECT_EQ(exchanged[rank * block + i], static_cast<std::int64_t>(100 * rank + me * block + i));
  }

  std::vector<std::int64_t> low(1);
  const auto mine = static_cast<std::int64_t>(me) - 5;
  world.start_all_reduce(&mine, low.data(), 1, DataType::i64, Reduction::min).wait(kDeadlineS);
  EXPECT_EQ(low.front(), -5);
}

}  // namespace
}  // namespace lockstep::mpi
