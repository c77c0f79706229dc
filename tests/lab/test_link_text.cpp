#include <set>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "harness/core/error.hpp"
#include "harness/core/text.hpp"
#include "harness/lab/link_text.hpp"

namespace lockstep::lab {
namespace {

using testing::HasSubstr;

constexpr std::int64_t kMs = 1'000'000;

LinkSettings read(const std::string& words, const LinkSettings& before = {}) {
  std::vector<KeyValue> changes;
  for (const std::string& word : split(words, ' '))
    changes.push_back(parse_link_word(word));
  return lab::apply(before, changes);
}

std::string refusal(const std::string& words) {
  try {
    static_cast<void>(read(words));
  } catch (const InputError& error) {
    return error.problem().one_line();
  }
  return "not refused";
}

TEST(LinkText, EveryKeySetsItsSetting) {
  EXPECT_EQ(read("distance=100km").delay_ns, 490'000);
  EXPECT_EQ(read("delay=10ms").delay_ns, 10 * kMs);
  EXPECT_EQ(read("rtt=20ms").delay_ns, 10 * kMs);
  EXPECT_EQ(read("handover=15s:10ms").handover.period_ns, 15'000 * kMs);
  EXPECT_EQ(read("handover=15s:10ms").handover.spread_ns, 10 * kMs);
  EXPECT_EQ(read("jitter=2ms").jitter_ns, 2 * kMs);
  EXPECT_EQ(read("jitter=2ms").jitter_shape, JitterShape::uniform);
  EXPECT_EQ(read("jitter=2ms:normal").jitter_shape, JitterShape::normal);
  EXPECT_EQ(read("jitter=2ms:exponential").jitter_shape, JitterShape::exponential);
  EXPECT_FALSE(read("reorder=yes").keeps_order);
  EXPECT_TRUE(read("reorder=no", read("reorder=yes")).keeps_order);
  EXPECT_EQ(read("rate=800Mb/s").bits_per_s, 800e6);
  EXPECT_EQ(read("rate=800Mb/s queue=256K").queue_bytes, 262'144U);
  EXPECT_EQ(read("rate=800Mb/s queue=10ms").queue_bytes, 1'000'000U);
  EXPECT_EQ(read("queue=10ms rate=800Mb/s").queue_bytes, 1'000'000U) << "in whatever order they are written";
  EXPECT_EQ(read("loss=0.1%").loss, 0.001);
  EXPECT_EQ(read("duplicate=1%").duplication, 0.01);
  EXPECT_EQ(read("corrupt=1%").corruption, 0.01);
  EXPECT_EQ(read("flap=10s:50ms").flapping.period_ns, 10'000 * kMs);
  EXPECT_EQ(read("flap=10s:50ms").flapping.length_ns, 50 * kMs);
}

TEST(LinkText, BurstsAreGivenByTheirShareAndLength) {
  const BurstLoss burst = read("burst_loss=0.05%:20").burst_loss;
  EXPECT_NEAR(burst.long_run_loss(), 0.0005, 1e-15);
  EXPECT_DOUBLE_EQ(1.0 / burst.leave, 20.0);
  EXPECT_EQ(burst.loss_inside, 1.0);
  EXPECT_DOUBLE_EQ(1.0 / read("burst_loss=1%").burst_loss.leave, 10.0);
  const BurstLoss partial = read("burst_loss=1%:50:40%").burst_loss;
  EXPECT_EQ(partial.loss_inside, 0.4);
  EXPECT_NEAR(partial.long_run_loss(), 0.01, 1e-15);
}

TEST(LinkText, EveryExampleIsReadAndNoKeyIsMissing) {
  std::set<std::string> names;
  for (const LinkKey& key : link_keys()) {
    names.insert(key.name);
    const bool is_queue = std::string(key.name) == "queue";
    EXPECT_NO_THROW(
        static_cast<void>(read(fmt::format("{}{}={}", is_queue ? "rate=1G " : "", key.name, key.example))))
        << key.name;
  }
  EXPECT_EQ(names, (std::set<std::string>{"distance", "delay", "rtt", "handover", "jitter", "reorder", "rate",
                                          "queue", "loss", "burst_loss", "duplicate", "corrupt", "flap"}));
}

TEST(LinkText, ARateBringsAQueueOfARoundTrip) {
  EXPECT_EQ(read("rate=1G rtt=1ms").queue_bytes, 512U * 1024U);
  EXPECT_EQ(read("rate=1G rtt=40ms").queue_bytes, 5'000'000U);
  EXPECT_EQ(read("rate=1G rtt=40ms queue=0").queue_bytes, 0U) << "no limit, as asked";
  EXPECT_EQ(read("rate=0", read("rate=1G")).queue_bytes, 0U);
  EXPECT_EQ(read("loss=1%", read("rate=1G queue=64K")).queue_bytes, 65'536U) << "what is not named stays";
}

TEST(LinkText, ZeroTakesASettingAway) {
  for (const char* words : {"handover=0", "jitter=0", "loss=0", "burst_loss=0", "duplicate=0", "corrupt=0",
                            "flap=0", "rate=0", "delay=0"}) {
    const LinkSettings full = read(
        "rtt=20ms handover=15s:1ms jitter=1ms rate=1G loss=1% burst_loss=1%:5 "
        "duplicate=1% corrupt=1% flap=1s:5ms");
    const std::string key = std::string(words).substr(0, std::string(words).find('='));
    EXPECT_THAT(" " + describe(full), HasSubstr(" " + key + "="));
    EXPECT_THAT(" " + describe(read(words, full)), testing::Not(HasSubstr(" " + key + "=")));
  }
}

TEST(LinkText, WhatIsDescribedReadsBack) {
  for (const char* words :
       {"rtt=0", "rtt=20ms", "distance=161km", "delay=1234567ns", "rate=123456789k", "rate=1G queue=10ms",
        "rate=50M queue=0", "jitter=2ms:normal rtt=20ms reorder=yes", "jitter=100us:exponential",
        "loss=0.1% duplicate=0.01% corrupt=0.003%", "flap=10s:50ms handover=15s:10ms", "loss=0.33333333",
        "rtt=60ms rate=100M loss=0.05% burst_loss=0.02%:30:50% jitter=3ms:normal flap=1min:200ms"}) {
    const LinkSettings asked = read(words);
    const std::string text = describe(asked);
    const LinkSettings again = read(text);
    EXPECT_EQ(describe(again), text) << words;
    EXPECT_EQ(again.delay_ns, asked.delay_ns) << text;
    EXPECT_EQ(again.bits_per_s, asked.bits_per_s) << text;
    EXPECT_EQ(again.queue_bytes, asked.queue_bytes) << text;
    EXPECT_EQ(again.jitter_ns, asked.jitter_ns) << text;
    EXPECT_EQ(again.jitter_shape, asked.jitter_shape) << text;
    EXPECT_EQ(again.keeps_order, asked.keeps_order) << text;
    EXPECT_EQ(again.loss, asked.loss) << text;
    EXPECT_EQ(again.duplication, asked.duplication) << text;
    EXPECT_EQ(again.corruption, asked.corruption) << text;
    EXPECT_NEAR(again.burst_loss.enter, asked.burst_loss.enter, 1e-15) << text;
    EXPECT_NEAR(again.burst_loss.leave, asked.burst_loss.leave, 1e-15) << text;
    EXPECT_EQ(again.burst_loss.loss_inside, asked.burst_loss.loss_inside) << text;
    EXPECT_EQ(again.flapping.period_ns, asked.flapping.period_ns) << text;
    EXPECT_EQ(again.flapping.length_ns, asked.flapping.length_ns) << text;
    EXPECT_EQ(again.handover.period_ns, asked.handover.period_ns) << text;
    EXPECT_EQ(again.handover.spread_ns, asked.handover.spread_ns) << text;
  }
  EXPECT_EQ(describe({}), "rtt=0");
}

TEST(LinkText, RefusalsNameWhatIsWrongAndWhatWouldBeRight) {
  EXPECT_THAT(refusal("los=1%"), HasSubstr("did you mean \"loss\""));
  EXPECT_THAT(refusal("zzzzzzzz=1%"), HasSubstr("known are distance"));
  EXPECT_THAT(refusal("loss"), HasSubstr("write loss=VALUE"));
  EXPECT_THAT(refusal("loss=2"), HasSubstr("\"2\" is no share"));
  EXPECT_THAT(refusal("rtt=20"), HasSubstr("write it as 20ms"));
  EXPECT_THAT(refusal("jitter=2ms:gauss"), HasSubstr("take uniform, normal or exponential"));
  EXPECT_THAT(refusal("jitter=2ms:normal:3"), HasSubstr("TIME[:DISTRIBUTION]"));
  EXPECT_THAT(refusal("reorder=maybe"), HasSubstr("take yes or no"));
  EXPECT_THAT(refusal("flap=10s"), HasSubstr("PERIOD:OUTAGE"));
  EXPECT_THAT(refusal("flap=10s:10s"), HasSubstr("shorten the outage"));
  EXPECT_THAT(refusal("flap=0:50ms"), HasSubstr("nothing would happen"));
  EXPECT_THAT(refusal("handover=15s"), HasSubstr("PERIOD:SPREAD"));
  EXPECT_THAT(refusal("queue=10ms"), HasSubstr("needs a rate"));
  EXPECT_THAT(refusal("queue=256K"), HasSubstr("give a rate too"));
  EXPECT_THAT(refusal("rate=1e-3k"), HasSubstr("1 Kb/s"));
  EXPECT_THAT(refusal("rate=1e200T"), HasSubstr("1000 Tb/s"));
  EXPECT_THAT(refusal("rate=1e200T queue=3600s"), HasSubstr("1000 Tb/s"));
  EXPECT_THAT(refusal("burst_loss=0.1%:0.5"), HasSubstr("at least 1"));
  EXPECT_THAT(refusal("burst_loss=0.1%:many"), HasSubstr("0.05%:20"));
  EXPECT_THAT(refusal("burst_loss=50%:10:40%"), HasSubstr("raise the third part"));
  EXPECT_THAT(refusal("burst_loss=90%:1"), HasSubstr("lengthen the bursts"));
}

TEST(LinkText, OneThingIsSaidOnce) {
  EXPECT_THAT(refusal("rtt=5ms delay=10ms"), HasSubstr("both set the delay"));
  EXPECT_THAT(refusal("distance=16km rtt=5ms"), HasSubstr("both set the delay"));
  EXPECT_THAT(refusal("loss=1% loss=2%"), HasSubstr("both set loss"));
}

}  // namespace
}  // namespace lockstep::lab
