#include <algorithm>
#include <memory>
#include <mutex>
#include <vector>

#include <gtest/gtest.h>

#include "harness/core/clock.hpp"
#include "harness/watch/site_probes.hpp"

namespace lockstep::watch {
namespace {

using record::ProbeRow;

constexpr std::int64_t kMs = 1'000'000;
constexpr std::int64_t kSecond = 1000 * kMs;

TEST(ProbeLedger, MakesARowASecond) {
  ProbeLedger ledger;
  const std::int64_t begin_ns = 5 * kSecond;
  for (int i = 0; i < 4; ++i)
    EXPECT_TRUE(
        ledger.answer(ledger.send(begin_ns + i * 250 * kMs),
                      {.round_trip_ns = (i + 1) * kMs, .out_ns = -40 * kMs + i, .back_ns = 41 * kMs - i}));
  EXPECT_TRUE(ledger.settle(begin_ns + 999 * kMs).empty()) << "the second is not over";
  const std::vector<ProbeRow> rows = ledger.settle(begin_ns + kSecond);
  ASSERT_EQ(rows.size(), 1U);
  EXPECT_EQ(rows[0].begin_ns, begin_ns);
  EXPECT_EQ(rows[0].end_ns, begin_ns + kSecond);
  EXPECT_EQ(rows[0].sent, 4U);
  EXPECT_EQ(rows[0].lost, 0U);
  EXPECT_EQ(rows[0].rtt_min_ns, kMs);
  EXPECT_EQ(rows[0].rtt_mean_ns, 2 * kMs + kMs / 2);
  EXPECT_EQ(rows[0].rtt_max_ns, 4 * kMs);
  EXPECT_EQ(rows[0].out_min_ns, -40 * kMs) << "the peer's clock is behind";
  EXPECT_EQ(rows[0].out_max_ns, -40 * kMs + 3);
  EXPECT_EQ(rows[0].back_min_ns, 41 * kMs - 3);
  EXPECT_EQ(rows[0].back_max_ns, 41 * kMs);
}

TEST(ProbeLedger, CountsWhatThePeerSends) {
  ProbeLedger ledger;
  ledger.hear(0);  // before the first row
  static_cast<void>(ledger.send(kMs));
  ledger.hear(500 * kMs);
  ledger.hear(kSecond + 2 * kMs);  // after its second
  static_cast<void>(ledger.send(kSecond + 3 * kMs));
  ledger.hear(kSecond + 4 * kMs);
  const auto rows = ledger.settle(4 * kSecond);
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_EQ(rows[0].received, 2U);
  EXPECT_EQ(rows[1].received, 2U);
}

TEST(ProbeLedger, WhatIsNotAnsweredInTimeIsLost) {
  ProbeLedger ledger;
  const std::uint64_t first = ledger.send(0);
  const std::uint64_t second = ledger.send(900 * kMs);
  EXPECT_TRUE(ledger.settle(kSecond + 800 * kMs).empty()) << "the second may still come";
  EXPECT_FALSE(ledger.answer(first, {.round_trip_ns = kMs})) << "too late";
  EXPECT_TRUE(ledger.answer(second, {.round_trip_ns = 850 * kMs}));
  EXPECT_FALSE(ledger.answer(second, {.round_trip_ns = 850 * kMs})) << "twice";
  EXPECT_FALSE(ledger.answer(77, {.round_trip_ns = kMs}));
  const std::vector<ProbeRow> rows = ledger.settle(kSecond + 800 * kMs);
  ASSERT_EQ(rows.size(), 1U);
  EXPECT_EQ(rows[0].sent, 2U);
  EXPECT_EQ(rows[0].lost, 1U);
  EXPECT_EQ(rows[0].rtt_max_ns, 850 * kMs);
}

TEST(ProbeLedger, RowsStayInOrderThoughALaterOneIsSettledFirst) {
  ProbeLedger ledger;
  static_cast<void>(ledger.send(990 * kMs));
  EXPECT_TRUE(ledger.answer(ledger.send(1991 * kMs - kMs), {.round_trip_ns = kMs}));
  const auto rows = ledger.settle(3 * kSecond);
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_LT(rows[0].begin_ns, rows[1].begin_ns);
  EXPECT_EQ(rows[0].rtt_mean_ns, 0);
  EXPECT_EQ(rows[0].lost, 1U);
}

TEST(ProbeLedger, AtTheEndNothingIsCalledLostThatMayStillCome) {
  ProbeLedger ledger;
  EXPECT_TRUE(ledger.answer(ledger.send(0), {.round_trip_ns = kMs}));
  static_cast<void>(ledger.send(250 * kMs));
  const auto rows = ledger.close(300 * kMs);
  ASSERT_EQ(rows.size(), 1U);
  EXPECT_EQ(rows[0].sent, 1U);
  EXPECT_EQ(rows[0].lost, 0U);
  EXPECT_EQ(rows[0].end_ns, 300 * kMs);
  EXPECT_TRUE(ledger.close(kSecond).empty());
}

class SiteProbesTest : public testing::Test {
 protected:
  /// Rows that a side gave out.
  class Rows {
   public:
    void add(const ProbeRow& row) {
      const std::lock_guard lock(mutex_);
      rows_.push_back(row);
    }
    [[nodiscard]] std::vector<ProbeRow> all() {
      const std::lock_guard lock(mutex_);
      return rows_;
    }
    /// True once a row is as asked.
    template <class Condition>
    bool come(Condition condition) {
      const std::int64_t until_ns = monotonic_ns() + 30 * kSecond;
      while (monotonic_ns() < until_ns) {
        const auto rows = all();
        if (std::any_of(rows.begin(), rows.end(), condition))
          return true;
        sleep_until_ns(monotonic_ns() + 10 * kMs);
      }
      return false;
    }

   private:
    std::mutex mutex_;
    std::vector<ProbeRow> rows_;
  };

  std::unique_ptr<SiteProbes> side(std::uint32_t self, BoundSocket socket, std::vector<ProbePeer> peers,
                                   Rows& rows, std::uint64_t token = 42) {
    return std::make_unique<SiteProbes>(std::move(socket),
                                        SiteProbes::Options{.self = self, .token = token, .per_second = 50.0},
                                        std::move(peers), [&rows](const ProbeRow& row) { rows.add(row); });
  }
  BoundSocket a_ = bind_udp();
  BoundSocket b_ = bind_udp();
  std::uint16_t port_a_ = a_.port;
  std::uint16_t port_b_ = b_.port;
  Rows rows_a_;
  Rows rows_b_;
};

TEST_F(SiteProbesTest, BothSidesMeasureAndALossIsSeen) {
  auto a = side(0, std::move(a_), {{4, {"127.0.0.1"}, port_b_}}, rows_a_);
  auto b = side(4, std::move(b_), {{0, {"127.0.0.1"}, port_a_}}, rows_b_);
  const auto is_good = [](const ProbeRow& row) {
    return row.lost == 0 && row.sent > 1 && row.rtt_min_ns > 0 && row.rtt_min_ns <= row.rtt_mean_ns &&
           row.rtt_mean_ns <= row.rtt_max_ns;
  };
  EXPECT_TRUE(rows_a_.come(is_good));
  EXPECT_TRUE(rows_b_.come(is_good));
  // Both on one clock: the two ways make up the round trip, and each side hears about as much as it sends.
  EXPECT_TRUE(rows_a_.come([](const ProbeRow& row) {
    return row.out_min_ns > 0 && row.back_min_ns > 0 && row.out_min_ns + row.back_min_ns <= row.rtt_max_ns &&
           row.out_max_ns + row.back_max_ns >= row.rtt_max_ns && row.received > row.sent / 2;
  }));
  EXPECT_EQ(rows_a_.all().front().rank, 0U);
  EXPECT_EQ(rows_a_.all().front().peer, 4U);
  b.reset();
  EXPECT_TRUE(rows_a_.come([](const ProbeRow& row) { return row.lost > 0 && row.lost == row.sent; }));
}

TEST_F(SiteProbesTest, OfSeveralAddressesTheOneThatAnswersIsUsed) {
  // 192.0.2.1 is nobody's.
  auto a = side(0, std::move(a_), {{4, {"192.0.2.1", "127.0.0.1", "nonsense"}, port_b_}}, rows_a_);
  auto b = side(4, std::move(b_), {}, rows_b_);
  EXPECT_TRUE(rows_a_.come([](const ProbeRow& row) { return row.sent > 1 && row.lost == 0; }));
  b.reset();
  EXPECT_TRUE(rows_b_.all().empty()) << "who only answers measures nothing";
}

TEST_F(SiteProbesTest, OnlyTheRankThatIsAskedAnswersAndNoStranger) {
  auto a = side(0, std::move(a_), {{4, {"127.0.0.1"}, port_b_}}, rows_a_);
  auto b = side(5, std::move(b_), {}, rows_b_);
  EXPECT_TRUE(rows_a_.come([](const ProbeRow& row) { return row.sent > 0 && row.lost == row.sent; }));
  Rows rows;
  auto stranger = side(0, bind_udp(), {{5, {"127.0.0.1"}, port_b_}}, rows, 43);
  EXPECT_TRUE(rows.come([](const ProbeRow& row) { return row.sent > 0 && row.lost == row.sent; }));
}

}  // namespace
}  // namespace lockstep::watch
