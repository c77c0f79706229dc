#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "harness/core/error.hpp"
#include "harness/lab/link_model.hpp"

namespace lockstep::lab {
namespace {

constexpr std::int64_t kMs = 1'000'000;
constexpr std::uint32_t kPacket = 1500;

/// Offers one packet every `gap_ns` from time 0 on.
std::vector<Passage> offer_many(LinkModel& link, int packets, std::int64_t gap_ns,
                                std::uint32_t bytes = kPacket) {
  std::vector<Passage> passages;
  for (int i = 0; i < packets; ++i)
    passages.push_back(link.offer(bytes, i * gap_ns));
  return passages;
}

/// Half the width of the 99.9 % interval of a binomial share. With fixed seeds these tests always see the
/// same draws.
double tolerance(double p, double n) {
  return 3.29 * std::sqrt(p * (1 - p) / n);
}

TEST(LinkModel, DelaysByTheDelayAskedFor) {
  LinkModel link({.delay_ns = 5 * kMs}, 1);
  const Passage passage = link.offer(kPacket, 7 * kMs);
  EXPECT_EQ(passage.fate, Fate::delivered);
  EXPECT_EQ(passage.due_ns, 12 * kMs);
}

TEST(LinkModel, SerialisesAtTheRate) {
  // 1500 bytes at 12 Mbit/s take 1 ms on the wire.
  LinkModel link({.delay_ns = 10 * kMs, .bits_per_s = 12e6}, 1);
  for (int i = 1; i <= 5; ++i)
    EXPECT_EQ(link.offer(kPacket, 0).due_ns, (10 + i) * kMs) << i;
  EXPECT_EQ(link.queued_bytes(0), 5 * kPacket);
  EXPECT_EQ(link.queued_bytes(3 * kMs), 2 * kPacket);
  EXPECT_EQ(link.queued_bytes(9 * kMs), 0U);
  EXPECT_EQ(link.offer(kPacket, 9 * kMs).due_ns, 20 * kMs) << "an idle wire lends no time";
}

TEST(LinkModel, DropsWhatTheQueueCannotHold) {
  LinkModel link({.bits_per_s = 12e6, .queue_bytes = 4 * kPacket}, 1);
  const std::vector<Passage> passages = offer_many(link, 6, 0);
  EXPECT_EQ(std::count_if(passages.begin(), passages.end(),
                          [](const Passage& one) { return one.fate == Fate::queue_full; }),
            2);
  EXPECT_EQ(passages.back().fate, Fate::queue_full);
  EXPECT_EQ(link.counters().queue_full, 2U);
  EXPECT_EQ(link.counters().queue_high_water_bytes, 4 * kPacket);
  EXPECT_EQ(link.offer(kPacket, kMs).fate, Fate::delivered) << "one packet has left";
}

TEST(LinkModel, AFreeWireTakesAPacketLongerThanTheQueue) {
  LinkModel link({.bits_per_s = 12e6, .queue_bytes = 100}, 1);
  EXPECT_EQ(link.offer(kPacket, 0).fate, Fate::delivered);
  EXPECT_EQ(link.offer(kPacket, 0).fate, Fate::queue_full);
}

TEST(LinkModel, LosesTheShareAskedFor) {
  constexpr int kPackets = 100'000;
  for (const double loss : {0.001, 0.01, 0.3}) {
    LinkModel link({.loss = loss}, 3);
    offer_many(link, kPackets, 1000);
    EXPECT_NEAR(static_cast<double>(link.counters().lost_at_random) / kPackets, loss,
                tolerance(loss, kPackets));
    EXPECT_EQ(link.counters().packets_delivered + link.counters().lost_at_random, 100'000U);
  }
}

TEST(LinkModel, BurstsHaveTheLengthAndTheLongRunLossOfTheChain) {
  constexpr int kPackets = 400'000;
  const BurstLoss burst{.enter = 0.001, .leave = 0.1, .loss_inside = 1.0};
  LinkModel link({.burst_loss = burst}, 5);
  const std::vector<Passage> passages = offer_many(link, kPackets, 1000);
  int bursts = 0;
  for (std::size_t i = 1; i < passages.size(); ++i)
    bursts += passages[i].fate == Fate::lost_in_burst && passages[i - 1].fate == Fate::delivered ? 1 : 0;
  const auto lost = static_cast<double>(link.counters().lost_in_burst);
  ASSERT_GT(bursts, 300);
  EXPECT_NEAR(lost / bursts, 10.0, 3.29 * 10.0 / std::sqrt(bursts));  // geometric: deviation about the mean
  EXPECT_NEAR(burst.long_run_loss(), 0.001 / 0.101, 1e-12);
  EXPECT_NEAR(lost / kPackets, burst.long_run_loss(), 0.2 * burst.long_run_loss());
  EXPECT_EQ(link.counters().lost_at_random, 0U);
}

TEST(LinkModel, ABurstPassesWhileTheWireIsIdle) {
  LinkSettings settings;
  settings.bits_per_s = 1e9;  // a full packet takes 12 us
  settings.burst_loss = {.enter = 0.01 * 0.05 / 0.99, .leave = 0.05, .loss_inside = 1.0};
  constexpr int kPackets = 200'000;
  const auto share_after_a_loss = [&](std::int64_t gap_ns) {
    LinkModel link(settings, 5);
    int lost = 0;
    int lost_again = 0;
    bool before = false;
    for (const Passage& passage : offer_many(link, kPackets, gap_ns)) {
      const bool is_lost = passage.fate == Fate::lost_in_burst;
      lost += is_lost ? 1 : 0;
      lost_again += is_lost && before ? 1 : 0;
      before = is_lost;
    }
    // Bursts of 20 make the scatter of the long-run share about sqrt(2 * 20) times that of single losses.
    EXPECT_NEAR(static_cast<double>(lost) / kPackets, 0.01, std::sqrt(40.0) * tolerance(0.01, kPackets));
    return static_cast<double>(lost_again) / lost;
  };
  EXPECT_NEAR(share_after_a_loss(12'000), 0.95, 0.02) << "back to back: one step of the chain a packet";
  // 20 packets' time later: 1 - 0.05 to the power of 20 is left.
  EXPECT_NEAR(share_after_a_loss(20 * 12'000), 0.36, 0.05);
  EXPECT_LT(share_after_a_loss(10 * kMs), 0.03) << "as likely as at any time";
}

TEST(LinkModel, KeepsTheOrderUnlessReorderingIsAskedFor) {
  const auto overtakes = [](bool keeps_order) {
    LinkModel link({.delay_ns = 10 * kMs, .jitter_ns = 2 * kMs, .keeps_order = keeps_order}, 7);
    const std::vector<Passage> passages = offer_many(link, 2000, kMs / 10);
    int count = 0;
    for (std::size_t i = 1; i < passages.size(); ++i)
      count += passages[i].due_ns < passages[i - 1].due_ns ? 1 : 0;
    return count;
  };
  EXPECT_EQ(overtakes(true), 0);
  EXPECT_GT(overtakes(false), 500);
}

TEST(LinkModel, JitterHasItsShape) {
  struct Case {
    JitterShape shape;
    double median_ms, mean_ms, least_ms;
  };
  constexpr double kAny = -std::numeric_limits<double>::infinity();
  for (const Case& one :
       {Case{JitterShape::uniform, 20.0, 20.0, 18.0}, Case{JitterShape::normal, 20.0, 20.0, kAny},
        Case{JitterShape::exponential, 20.0 + 2.0 * std::log(2.0), 22.0, 20.0}}) {
    LinkModel link(
        {.delay_ns = 20 * kMs, .jitter_ns = 2 * kMs, .jitter_shape = one.shape, .keeps_order = false}, 11);
    std::vector<double> delays_ms;
    double sum = 0.0;
    for (int i = 0; i < 20'001; ++i) {
      delays_ms.push_back(static_cast<double>(link.offer(kPacket, i * kMs).due_ns - i * kMs) / kMs);
      sum += delays_ms.back();
    }
    std::sort(delays_ms.begin(), delays_ms.end());
    EXPECT_NEAR(delays_ms[10'000], one.median_ms, 0.08);
    EXPECT_NEAR(sum / 20'001, one.mean_ms, 0.06);
    EXPECT_GE(delays_ms.front(), one.least_ms);
  }
}

TEST(LinkModel, ADelayIsNeverNegative) {
  LinkModel link({.delay_ns = kMs, .jitter_ns = 10 * kMs, .keeps_order = false}, 1);
  for (int i = 0; i < 1000; ++i)
    EXPECT_GE(link.offer(kPacket, i).due_ns, i);
}

TEST(LinkModel, ACutLosesEverythingUntilItIsHealed) {
  LinkModel link({.delay_ns = 5 * kMs}, 1);
  EXPECT_EQ(link.offer(kPacket, 0).due_ns, 5 * kMs) << "what is on its way arrives";
  link.cut(50 * kMs);
  EXPECT_EQ(link.offer(kPacket, 1 * kMs).fate, Fate::link_down);
  EXPECT_EQ(link.offer(kPacket, 50 * kMs - 1).fate, Fate::link_down);
  EXPECT_EQ(link.offer(kPacket, 50 * kMs).fate, Fate::delivered);
  link.cut(std::numeric_limits<std::int64_t>::max());
  EXPECT_TRUE(link.is_down(60 * kMs));
  link.cut(60 * kMs);
  EXPECT_FALSE(link.is_down(60 * kMs));
  EXPECT_EQ(link.counters().link_down, 2U);
}

TEST(LinkModel, FlapsAtTheEndOfEachPeriod) {
  LinkModel link({.flapping = {.period_ns = 100 * kMs, .length_ns = 10 * kMs}}, 1, 1000 * kMs);
  for (const auto& [at_ms, down] : std::vector<std::pair<std::int64_t, bool>>{{999, false},
                                                                              {1000, false},
                                                                              {1089, false},
                                                                              {1090, true},
                                                                              {1099, true},
                                                                              {1100, false},
                                                                              {1195, true}})
    EXPECT_EQ(link.is_down(at_ms * kMs), down) << at_ms;
}

TEST(LinkModel, DuplicatesAndCorruptsTheShareAskedFor) {
  constexpr int kPackets = 50'000;
  LinkModel link({.delay_ns = kMs, .duplication = 0.02, .corruption = 0.01}, 13);
  int copies = 0;
  for (const Passage& one : offer_many(link, kPackets, 1000)) {
    copies += one.copy_due_ns ? 1 : 0;
    EXPECT_GE(one.copy_due_ns.value_or(one.due_ns), one.due_ns);
    EXPECT_LT(one.flipped_bit.value_or(0), kPacket * 8);
  }
  EXPECT_EQ(link.counters().duplicated, static_cast<std::uint64_t>(copies));
  EXPECT_NEAR(copies / double{kPackets}, 0.02, tolerance(0.02, kPackets));
  EXPECT_NEAR(static_cast<double>(link.counters().corrupted) / kPackets, 0.01, tolerance(0.01, kPackets));
}

TEST(LinkModel, TheSameSeedGivesTheSameLossesAndJitter) {
  const LinkSettings settings{
      .delay_ns = 10 * kMs, .jitter_ns = kMs, .loss = 0.05, .burst_loss = {.enter = 0.01, .leave = 0.2}};
  const auto run = [&settings](std::uint64_t seed) {
    LinkModel link(settings, seed);
    std::vector<std::int64_t> seen;
    for (const Passage& one : offer_many(link, 2000, kMs))
      seen.push_back(one.fate == Fate::delivered ? one.due_ns : -static_cast<int>(one.fate));
    return seen;
  };
  EXPECT_EQ(run(1), run(1));
  EXPECT_NE(run(1), run(2));
}

TEST(LinkModel, ChangingOneImpairmentLeavesTheOthersAsTheyWere) {
  const auto lost = [](std::int64_t jitter_ns) {
    LinkModel link({.delay_ns = 10 * kMs, .jitter_ns = jitter_ns, .loss = 0.05}, 17);
    std::vector<int> which;
    int i = 0;
    for (const Passage& one : offer_many(link, 2000, kMs)) {
      if (one.fate != Fate::delivered)
        which.push_back(i);
      ++i;
    }
    return which;
  };
  EXPECT_EQ(lost(0), lost(kMs));
}

TEST(LinkModel, AChangeHoldsFromThenOnAndKeepsTheQueue) {
  LinkModel link({.delay_ns = kMs, .bits_per_s = 12e6}, 1);
  EXPECT_EQ(link.offer(kPacket, 0).due_ns, 2 * kMs);
  EXPECT_EQ(link.offer(kPacket, 0).due_ns, 3 * kMs);
  link.change({.delay_ns = 0, .bits_per_s = 24e6, .loss = 1.0});
  EXPECT_EQ(link.offer(kPacket, 0).fate, Fate::lost_at_random);
  link.change({.delay_ns = 0, .bits_per_s = 24e6});
  EXPECT_EQ(link.offer(kPacket, 0).due_ns, 3 * kMs) << "2 ms of the old rate, two packets of 0.5 ms";
}

TEST(LinkSettings, ThatAreImpossibleAreRefused) {
  const std::vector<std::function<void(LinkSettings&)>> faults = {
      [](LinkSettings& s) { s.loss = 1.5; },
      [](LinkSettings& s) { s.loss = std::numeric_limits<double>::quiet_NaN(); },
      [](LinkSettings& s) { s.corruption = -0.1; },
      [](LinkSettings& s) { s.delay_ns = -1; },
      [](LinkSettings& s) { s.bits_per_s = -1.0; },
      [](LinkSettings& s) { s.burst_loss = {.enter = 0.1, .leave = 0.0}; },
      [](LinkSettings& s) { s.flapping = {.period_ns = 10, .length_ns = 10}; },
  };
  EXPECT_NO_THROW(check({}));
  for (std::size_t i = 0; i < faults.size(); ++i) {
    LinkSettings settings;
    faults[i](settings);
    EXPECT_THROW(check(settings), InputError) << i;
    LinkModel link({}, 1);
    EXPECT_THROW(link.change(settings), InputError) << i;
    EXPECT_THROW(LinkModel(settings, 1), InputError) << i;
  }
}

}  // namespace
}  // namespace lockstep::lab
