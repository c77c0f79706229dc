#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>

#include "harness/campaign/stop_signals.hpp"

namespace lockstep::campaign {
namespace {

bool readable(const StopSignals& stop) {
  pollfd waiting{stop.fd(), POLLIN, 0};
  return ::poll(&waiting, 1, 0) == 1;
}

TEST(StopSignals, AreReadAndNeverInterrupt) {
  StopSignals stop;
  EXPECT_FALSE(stop.stop_requested());
  EXPECT_FALSE(readable(stop));
  for (int i = 0; i < 3; ++i)
    ASSERT_EQ(::raise(SIGINT), 0);  // would end this process if it were delivered
  ASSERT_EQ(::raise(SIGTERM), 0);
  EXPECT_TRUE(readable(stop));
  EXPECT_TRUE(stop.stop_requested());
  EXPECT_EQ(stop.wish(), StopWish::at_once);
  EXPECT_FALSE(readable(stop));
  EXPECT_TRUE(stop.stop_requested()) << "a request stays";
}

TEST(StopSignals, TellHowSoon) {
  StopSignals stop;
  EXPECT_EQ(stop.wish(), StopWish::none);
  ASSERT_EQ(::raise(SIGUSR1), 0);
  EXPECT_EQ(stop.wish(), StopWish::soon);
  ASSERT_EQ(::raise(SIGTERM), 0);
  EXPECT_EQ(stop.wish(), StopWish::promptly);
  ASSERT_EQ(::raise(SIGUSR1), 0);
  EXPECT_EQ(stop.wish(), StopWish::promptly) << "it never falls back";
  ASSERT_EQ(::raise(SIGTERM), 0);
  EXPECT_EQ(stop.wish(), StopWish::at_once) << "asked a second time";
}

TEST(StopSignals, LeaveAHangUpAloneThatIsIgnored) {
  static_cast<void>(std::signal(SIGHUP, SIG_IGN));
  StopSignals stop;
  ASSERT_EQ(::raise(SIGHUP), 0);
  EXPECT_FALSE(stop.stop_requested());
  ASSERT_EQ(::raise(SIGINT), 0);
  EXPECT_TRUE(stop.stop_requested());
  static_cast<void>(std::signal(SIGHUP, SIG_DFL));
}

TEST(StopSignals, RestoreTheMaskAndSwallowWhatCame) {
  {
    StopSignals stop;
    ASSERT_EQ(::raise(SIGHUP), 0);
  }
  sigset_t mask;
  ASSERT_EQ(::sigprocmask(SIG_BLOCK, nullptr, &mask), 0);
  EXPECT_FALSE(sigismember(&mask, SIGINT));
}

}  // namespace
}  // namespace lockstep::campaign
