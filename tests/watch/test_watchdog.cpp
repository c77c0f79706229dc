#include <atomic>
#include <future>
#include <thread>

#include <gtest/gtest.h>

#include "harness/watch/watchdog.hpp"

namespace lockstep::watch {
namespace {

constexpr double kLookEveryS = 0.001;

/// A watchdog on a clock that only the test moves.
class WatchdogTest : public testing::Test {
 protected:
  std::atomic<std::int64_t> now_ns_{1};
  std::promise<Expiry> expired_;
  std::atomic<int> calls_{0};
  std::atomic<int> looks_{0};
  Watchdog watchdog_{[this](const Expiry& expiry) {
                       if (calls_++ == 0)
                         expired_.set_value(expiry);
                     },
                     kLookEveryS,
                     [this] {
                       ++looks_;
                       return now_ns_.load();
                     }};

  /// Returns when the watch thread has seen the present state at least once.
  void let_it_look() {
    const int seen = looks_;
    while (looks_ < seen + 3)
      std::this_thread::yield();
  }
};

TEST_F(WatchdogTest, NamesThePhaseThatDidNotEnd) {
  watchdog_.enter("MPI_Init", 5.0);
  now_ns_ += 6'000'000'000;
  const Expiry expiry = expired_.get_future().get();
  EXPECT_EQ(expiry.phase, "MPI_Init");
  EXPECT_DOUBLE_EQ(expiry.allowed_s, 5.0);
  EXPECT_DOUBLE_EQ(expiry.waited_s, 6.0);
}

TEST_F(WatchdogTest, TellsThatTheProcessItselfStoodStill) {
  watchdog_.enter("step", 5.0);
  now_ns_ += 1'000'000'000;
  let_it_look();
  now_ns_ += 7'000'000'000;
  EXPECT_DOUBLE_EQ(expired_.get_future().get().stood_still_s, 7.0);
}

TEST_F(WatchdogTest, AGapBeforeThePhaseDoesNotCount) {
  now_ns_ += 60'000'000'000;
  watchdog_.enter("step", 5.0);
  let_it_look();
  for (int i = 0; i < 6; ++i) {
    now_ns_ += 1'000'000'000;
    let_it_look();
  }
  EXPECT_DOUBLE_EQ(expired_.get_future().get().stood_still_s, 1.0);
}

TEST_F(WatchdogTest, ProgressMovesTheDeadline) {
  watchdog_.enter("step", 5.0);
  now_ns_ += 4'000'000'000;
  watchdog_.extend(5.0);
  now_ns_ += 4'000'000'000;
  let_it_look();
  EXPECT_EQ(calls_, 0);
  watchdog_.enter("finalize", 1.0);
  now_ns_ += 2'000'000'000;
  EXPECT_EQ(expired_.get_future().get().phase, "finalize");
  EXPECT_EQ(calls_, 1);
}

TEST_F(WatchdogTest, SaysNothingOnceDisarmed) {
  watchdog_.enter("step", 1.0);
  watchdog_.disarm();
  now_ns_ += 10'000'000'000;
  let_it_look();
  EXPECT_EQ(calls_, 0);
  watchdog_.enter("other", 1.0);
  now_ns_ += 10'000'000'000;
  EXPECT_EQ(expired_.get_future().get().phase, "other");
}

TEST_F(WatchdogTest, FiresOnce) {
  watchdog_.enter("step", 1.0);
  now_ns_ += 2'000'000'000;
  expired_.get_future().get();
  now_ns_ += 2'000'000'000;
  let_it_look();
  EXPECT_EQ(calls_, 1);
}

}  // namespace
}  // namespace lockstep::watch
