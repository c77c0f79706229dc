#include "harness/lab/link_text.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>

#include <fmt/format.h>

#include "harness/core/error.hpp"
#include "harness/core/text.hpp"
#include "harness/core/units.hpp"
#include "harness/lab/quantity.hpp"

namespace lockstep::lab {
namespace {

constexpr double kLeastDefaultQueueBytes = 512.0 * 1024.0;

[[noreturn]] void refuse(const char* key, std::string_view value, std::string why, std::string suggestion) {
  throw InputError({.what = fmt::format("{} = \"{}\"", key, value),
                    .why = std::move(why),
                    .suggestion = std::move(suggestion),
                    .file = {}});
}

/// The parts of `15s:20ms`; the ones after the first may be missing.
std::vector<std::string> parts_of(const char* key, std::string_view value, std::size_t least,
                                  std::size_t most, const char* form) {
  std::vector<std::string> parts = split(value, ':');
  if (parts.size() < least || parts.size() > most)
    refuse(key, value, "the number of parts is wrong", fmt::format("write it as {}", form));
  return parts;
}

JitterShape parse_shape(std::string_view name) {
  if (name == "uniform")
    return JitterShape::uniform;
  if (name == "normal")
    return JitterShape::normal;
  if (name == "exponential")
    return JitterShape::exponential;
  refuse("jitter", name, "there is no such distribution", "take uniform, normal or exponential");
}

const char* name_of(JitterShape shape) {
  switch (shape) {
    case JitterShape::uniform:
      return "uniform";
    case JitterShape::normal:
      return "normal";
    case JitterShape::exponential:
      return "exponential";
  }
  return "";
}

void set_burst_loss(LinkSettings& settings, std::string_view value) {
  const auto parts = parts_of("burst_loss", value, 1, 3, "SHARE[:PACKETS[:LOSS INSIDE]], e.g. 0.05%:20");
  const double share = parse_share(parts[0]);
  if (share == 0.0) {
    settings.burst_loss = {};
    return;
  }
  double packets = 10.0;
  if (parts.size() > 1) {
    const Problem no_number{.what = fmt::format("burst_loss = \"{}\"", value),
                            .why = "a burst's mean length is a number of packets, at least 1",
                            .suggestion = "write it as 0.05%:20",
                            .file = {}};
    std::size_t used = 0;
    try {
      packets = std::stod(parts[1], &used);
    } catch (const std::exception&) {
      throw InputError(no_number);
    }
    if (used != parts[1].size() || !(packets >= 1.0) || std::isinf(packets))
      throw InputError(no_number);
  }
  const double inside = parts.size() > 2 ? parse_share(parts[2]) : 1.0;
  if (inside <= share)
    refuse("burst_loss", value, "the loss inside a burst must exceed the long-run share",
           "raise the third part or lower the first");
  BurstLoss& burst = settings.burst_loss;
  burst.loss_inside = inside;
  burst.leave = 1.0 / packets;
  // Long-run share = inside * enter / (enter + leave), solved for enter.
  burst.enter = share * burst.leave / (inside - share);
  if (burst.enter > 1.0)
    refuse("burst_loss", value, "bursts so short cannot lose so much",
           "lengthen the bursts or lower the share");
}

void set_queue(LinkSettings& settings, std::string_view value) {
  const std::string_view text = trim(value);
  if (!text.ends_with('s')) {
    settings.queue_bytes = parse_bytes(text);
    return;
  }
  if (settings.bits_per_s <= 0.0)
    refuse("queue", value, "a queue given as a time needs a rate", "give a rate too, or the queue in bytes");
  const double seconds = seconds_from_ns(parse_duration_ns(text));
  settings.queue_bytes = std::max<std::uint64_t>(
      1, static_cast<std::uint64_t>(std::llround(seconds * settings.bits_per_s / 8.0)));
}

void set_default_queue(LinkSettings& settings) {
  const double round_trip_bytes =
      settings.bits_per_s / 8.0 * 2.0 * seconds_from_ns(settings.delay_ns + settings.handover.spread_ns);
  settings.queue_bytes =
      settings.bits_per_s > 0.0
          ? static_cast<std::uint64_t>(std::llround(std::max(kLeastDefaultQueueBytes, round_trip_bytes)))
          : 0;
}

void set_jitter(LinkSettings& settings, std::string_view value) {
  const auto parts = parts_of("jitter", value, 1, 2, "TIME[:DISTRIBUTION], e.g. 2ms:normal");
  settings.jitter_ns = parse_duration_ns(parts[0]);
  settings.jitter_shape = parts.size() > 1 ? parse_shape(trim(parts[1])) : JitterShape::uniform;
}

void set_order(LinkSettings& settings, std::string_view value) {
  if (value != "yes" && value != "no")
    refuse("reorder", value, "it is neither yes nor no", "take yes or no");
  settings.keeps_order = value == "no";
}

void set_flap(LinkSettings& settings, std::string_view value) {
  if (trim(value) == "0") {
    settings.flapping = {};
    return;
  }
  const auto parts = parts_of("flap", value, 2, 2, "PERIOD:OUTAGE, e.g. 10s:50ms");
  settings.flapping = {parse_duration_ns(parts[0]), parse_duration_ns(parts[1])};
}

void set_handover(LinkSettings& settings, std::string_view value) {
  if (trim(value) == "0") {
    settings.handover = {};
    return;
  }
  const auto parts = parts_of("handover", value, 2, 2, "PERIOD:SPREAD, e.g. 15s:10ms");
  settings.handover = {parse_duration_ns(parts[0]), parse_duration_ns(parts[1])};
}

struct Entry {
  LinkKey key;
  std::function<void(LinkSettings&, std::string_view)> set;
};

const std::vector<Entry>& entries() {
  static const std::vector<Entry> table{
      {{"distance", "16km", "length of the fibre; sets the delay at 4.9 us/km one way"},
       [](LinkSettings& s, std::string_view v) { s.delay_ns = std::llround(parse_km(v) * kFibreNsPerKm); }},
      {{"delay", "10ms", "one-way delay"},
       [](LinkSettings& s, std::string_view v) { s.delay_ns = parse_duration_ns(v); }},
      {{"rtt", "20ms", "twice the one-way delay"},
       [](LinkSettings& s, std::string_view v) { s.delay_ns = parse_duration_ns(v) / 2; }},
      {{"handover", "15s:10ms", "every period the delay is drawn anew, up to the spread above `delay`"},
       set_handover},
      {{"jitter", "2ms:normal", "spread of the delay; uniform (the default), normal or exponential"},
       set_jitter},
      {{"reorder", "no", "whether jitter may let a packet overtake another"}, set_order},
      {{"rate", "800Mb/s", "IP packets leave one after the other at this rate; 0: no limit"},
       [](LinkSettings& s, std::string_view v) { s.bits_per_s = parse_bits_per_s(v); }},
      {{"queue", "256K", "bytes that may wait for the wire, or a time at the rate; 0: no limit"}, set_queue},
      {{"loss", "0.1%", "share of packets lost at random"},
       [](LinkSettings& s, std::string_view v) { s.loss = parse_share(v); }},
      {{"burst_loss", "0.05%:20", "share lost in bursts of this mean length in packets (Gilbert-Elliott)"},
       set_burst_loss},
      {{"duplicate", "0.01%", "share of packets that arrive twice"},
       [](LinkSettings& s, std::string_view v) { s.duplication = parse_share(v); }},
      {{"corrupt", "0.01%", "share of packets that arrive with one bit inverted"},
       [](LinkSettings& s, std::string_view v) { s.corruption = parse_share(v); }},
      {{"flap", "10s:50ms", "the link is down for this long at the end of every period; 0: never"},
       set_flap}};
  return table;
}

}  // namespace

std::span<const LinkKey> link_keys() {
  static const std::vector<LinkKey> keys = [] {
    std::vector<LinkKey> all;
    for (const Entry& entry : entries())
      all.push_back(entry.key);
    return all;
  }();
  return keys;
}

KeyValue parse_link_word(std::string_view word) {
  const std::size_t equals = word.find('=');
  const std::string key(trim(word.substr(0, equals)));
  const bool known = std::any_of(entries().begin(), entries().end(),
                                 [&key](const Entry& entry) { return entry.key.name == key; });
  if (known && equals != std::string_view::npos)
    return {key, std::string(trim(word.substr(equals + 1)))};
  std::vector<std::string> names;
  for (const Entry& entry : entries())
    names.emplace_back(entry.key.name);
  const auto nearest = nearest_match(key, names);
  throw InputError({.what = known ? fmt::format("\"{}\" has no value", word)
                                  : fmt::format("a link has no key \"{}\"", key),
                    .why = {},
                    .suggestion = known     ? fmt::format("write {}=VALUE", key)
                                  : nearest ? fmt::format("did you mean \"{}\"?", *nearest)
                                            : "known are " + join(names, ", "),
                    .file = {}});
}

LinkSettings apply(const LinkSettings& settings, std::span<const KeyValue> changes) {
  LinkSettings changed = settings;
  const auto given = [&changes](std::string_view key) {
    return std::any_of(changes.begin(), changes.end(), [key](const KeyValue& c) { return c.key == key; });
  };
  for (const KeyValue& change : changes)
    static_cast<void>(parse_link_word(change.key + "=" + change.value));
  for (const Entry& entry : entries()) {
    for (const KeyValue& change : changes) {
      if (change.key == entry.key.name)
        entry.set(changed, change.value);
    }
  }
  if (given("rate") && !given("queue"))
    set_default_queue(changed);
  check(changed);
  return changed;
}

std::string describe(const LinkSettings& settings) {
  std::vector<std::string> words;
  const auto add = [&words](const char* key, const std::string& value) {
    words.push_back(fmt::format("{}={}", key, value));
  };
  if (settings.delay_ns > 0)
    add("delay", duration_text(settings.delay_ns));
  if (settings.handover.period_ns > 0)
    add("handover",
        duration_text(settings.handover.period_ns) + ":" + duration_text(settings.handover.spread_ns));
  if (settings.jitter_ns > 0)
    add("jitter", duration_text(settings.jitter_ns) + ":" + name_of(settings.jitter_shape));
  if (!settings.keeps_order)
    add("reorder", "yes");
  if (settings.bits_per_s > 0.0) {
    add("rate", rate_text(settings.bits_per_s));
    add("queue", bytes_text(settings.queue_bytes));
  }
  if (settings.loss > 0.0)
    add("loss", share_text(settings.loss));
  if (settings.burst_loss.enter > 0.0) {
    add("burst_loss",
        fmt::format("{}:{:.12g}:{}", share_text(settings.burst_loss.long_run_loss()),
                    1.0 / settings.burst_loss.leave, share_text(settings.burst_loss.loss_inside)));
  }
  if (settings.duplication > 0.0)
    add("duplicate", share_text(settings.duplication));
  if (settings.corruption > 0.0)
    add("corrupt", share_text(settings.corruption));
  if (settings.flapping.period_ns > 0)
    add("flap",
        duration_text(settings.flapping.period_ns) + ":" + duration_text(settings.flapping.length_ns));
  return words.empty() ? "rtt=0" : join(words, " ");
}

}  // namespace lockstep::lab
