#include "harness/lab/link_model.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include <fmt/format.h>

#include "harness/core/error.hpp"
#include "harness/stats/distributions.hpp"

namespace lockstep::lab {
namespace {

constexpr double kNsPerS = 1e9;
constexpr double kFullPacket = 1500.0;  // bytes
constexpr std::int64_t kEver = std::numeric_limits<std::int64_t>::min();

[[noreturn]] void refuse(std::string what, std::string why, std::string suggestion) {
  throw InputError(
      {.what = std::move(what), .why = std::move(why), .suggestion = std::move(suggestion), .file = {}});
}

void check_probability(const char* name, double value) {
  if (!(value >= 0.0 && value <= 1.0))
    refuse(fmt::format("{} = {}", name, value), "it is a probability", "give a value from 0 to 1");
}

void check_time(const char* name, std::int64_t value_ns) {
  if (value_ns < 0)
    refuse(fmt::format("{} = {} ns", name, value_ns), "a time cannot be negative", "give 0 or more");
}

double wire_ns(double bytes, double bits_per_s) {
  return bytes * 8.0 / bits_per_s * kNsPerS;
}

}  // namespace

double BurstLoss::long_run_loss() const {
  return enter > 0.0 ? loss_inside * enter / (enter + leave) : 0.0;
}

void check(const LinkSettings& settings) {
  check_time("delay", settings.delay_ns);
  check_time("jitter", settings.jitter_ns);
  check_time("handover.period", settings.handover.period_ns);
  check_time("handover.spread", settings.handover.spread_ns);
  check_time("flapping.period", settings.flapping.period_ns);
  check_time("flapping.length", settings.flapping.length_ns);
  check_probability("loss", settings.loss);
  check_probability("duplication", settings.duplication);
  check_probability("corruption", settings.corruption);
  check_probability("burst_loss.enter", settings.burst_loss.enter);
  check_probability("burst_loss.leave", settings.burst_loss.leave);
  check_probability("burst_loss.loss_inside", settings.burst_loss.loss_inside);
  if (settings.burst_loss.enter > 0.0 && settings.burst_loss.leave <= 0.0)
    refuse("burst_loss.leave = 0", "the first burst would never end", "give a value above 0");
  if (!(settings.bits_per_s >= 0.0) || std::isinf(settings.bits_per_s))
    refuse(fmt::format("rate = {} bit/s", settings.bits_per_s), "it is no rate",
           "give a value above 0, or 0 for no limit");
  if (settings.flapping.period_ns > 0 && settings.flapping.length_ns >= settings.flapping.period_ns)
    refuse("an outage as long as the flapping's period", "the link would never be up",
           "shorten the outage or lengthen the period");
}

LinkModel::LinkModel(const LinkSettings& settings, std::uint64_t seed, std::int64_t begin_ns)
    : settings_(settings),
      loss_(seed ^ 0x6c6f7373),
      bursts_(seed ^ 0x62757273),
      jitter_(seed ^ 0x6a697474),
      duplication_(seed ^ 0x64757065),
      corruption_(seed ^ 0x636f7272),
      seed_(seed),
      begin_ns_(begin_ns),
      down_until_ns_(kEver),
      wire_free_ns_(kEver),
      last_due_ns_(kEver) {
  check(settings_);
}

void LinkModel::change(const LinkSettings& settings) {
  check(settings);
  settings_ = settings;
}

bool LinkModel::is_down(std::int64_t now_ns) const {
  if (now_ns < down_until_ns_)
    return true;
  const Flapping& flapping = settings_.flapping;
  if (flapping.period_ns == 0 || now_ns < begin_ns_)
    return false;
  return (now_ns - begin_ns_) % flapping.period_ns >= flapping.period_ns - flapping.length_ns;
}

std::uint64_t LinkModel::queued_bytes(std::int64_t now_ns) const {
  if (settings_.bits_per_s <= 0.0 || wire_free_ns_ <= now_ns)
    return 0;
  return static_cast<std::uint64_t>(
      std::llround(static_cast<double>(wire_free_ns_ - now_ns) / kNsPerS * settings_.bits_per_s / 8.0));
}

void LinkModel::let_burst_pass(std::int64_t now_ns) {
  const BurstLoss& burst = settings_.burst_loss;
  if (burst.enter <= 0.0 || settings_.bits_per_s <= 0.0 || wire_free_ns_ == kEver || now_ns <= wire_free_ns_)
    return;
  const double steps =
      std::floor(static_cast<double>(now_ns - wire_free_ns_) / wire_ns(kFullPacket, settings_.bits_per_s));
  if (steps < 1.0)
    return;
  // The chain after n steps: the stationary share plus what is left of the present state (Gilbert 1960).
  const double inside = burst.enter / (burst.enter + burst.leave);
  const double left = std::pow(1.0 - burst.enter - burst.leave, steps);
  in_burst_ = bursts_.uniform() < inside + ((in_burst_ ? 1.0 : 0.0) - inside) * left;
}

bool LinkModel::is_lost_in_burst() {
  const BurstLoss& burst = settings_.burst_loss;
  if (burst.enter <= 0.0) {
    in_burst_ = false;
    return false;
  }
  const double change = bursts_.uniform();
  in_burst_ = in_burst_ ? change >= burst.leave : change < burst.enter;
  return in_burst_ && bursts_.uniform() < burst.loss_inside;
}

std::int64_t LinkModel::draw_jitter_ns() {
  if (settings_.jitter_ns == 0)
    return 0;
  const auto jitter = static_cast<double>(settings_.jitter_ns);
  // Inside (0, 1), where the quantile functions are finite.
  const double p = jitter_.uniform() + 0x1.0p-54;
  switch (settings_.jitter_shape) {
    case JitterShape::uniform:
      return std::llround((2.0 * p - 1.0) * jitter);
    case JitterShape::normal:
      return std::llround(stats::normal_quantile(p) * jitter);
    case JitterShape::exponential:
      return std::llround(-std::log1p(-p) * jitter);
  }
  return 0;
}

std::int64_t LinkModel::path_delay_ns(std::int64_t now_ns) const {
  const Handover& handover = settings_.handover;
  if (handover.period_ns == 0 || handover.spread_ns == 0 || now_ns < begin_ns_)
    return settings_.delay_ns;
  const auto period = static_cast<std::uint64_t>((now_ns - begin_ns_) / handover.period_ns);
  // Of the period's number and nothing else, so that it does not depend on the packets.
  const double drawn = stats::Random(seed_ ^ (period << 8) ^ 0x68616e64).uniform();
  return settings_.delay_ns + std::llround(drawn * static_cast<double>(handover.spread_ns));
}

std::int64_t LinkModel::leave_at(std::int64_t sent_ns) {
  std::int64_t due_ns = sent_ns + std::max<std::int64_t>(0, path_delay_ns(sent_ns) + draw_jitter_ns());
  if (settings_.keeps_order)
    due_ns = std::max(due_ns, last_due_ns_);
  last_due_ns_ = std::max(due_ns, last_due_ns_);
  return due_ns;
}

Passage LinkModel::offer(std::uint32_t bytes, std::int64_t now_ns) {
  LOCKSTEP_EXPECT(bytes > 0, "an empty packet");
  ++counters_.packets_offered;
  counters_.bytes_offered += bytes;
  if (is_down(now_ns)) {
    ++counters_.link_down;
    return {Fate::link_down, now_ns, {}, {}};
  }

  let_burst_pass(now_ns);
  std::int64_t sent_ns = now_ns;
  if (settings_.bits_per_s > 0.0) {
    const std::uint64_t queued = queued_bytes(now_ns);
    // What waits is everything before this packet; a free wire takes it at once, however short the queue.
    if (settings_.queue_bytes > 0 && queued > 0 && queued + bytes > settings_.queue_bytes) {
      ++counters_.queue_full;
      return {Fate::queue_full, now_ns, {}, {}};
    }
    counters_.queue_high_water_bytes = std::max(counters_.queue_high_water_bytes, queued + bytes);
    wire_free_ns_ = std::max(now_ns, wire_free_ns_) + std::llround(wire_ns(bytes, settings_.bits_per_s));
    sent_ns = wire_free_ns_;
  }

  // Every generator takes one step a packet, lost or not, so that what happens to one does not shift another.
  const bool burst = is_lost_in_burst();
  const bool random = settings_.loss > 0.0 && loss_.uniform() < settings_.loss;
  const bool copied = settings_.duplication > 0.0 && duplication_.uniform() < settings_.duplication;
  const bool corrupt = settings_.corruption > 0.0 && corruption_.uniform() < settings_.corruption;
  const std::int64_t due_ns = leave_at(sent_ns);
  if (burst || random) {
    ++(burst ? counters_.lost_in_burst : counters_.lost_at_random);
    return {burst ? Fate::lost_in_burst : Fate::lost_at_random, sent_ns, {}, {}};
  }

  ++counters_.packets_delivered;
  counters_.bytes_delivered += bytes;
  Passage passage{Fate::delivered, due_ns, {}, {}};
  if (copied) {
    ++counters_.duplicated;
    passage.copy_due_ns = due_ns;
  }
  if (corrupt) {
    ++counters_.corrupted;
    passage.flipped_bit = static_cast<std::uint32_t>(corruption_.index(std::size_t{bytes} * 8));
  }
  return passage;
}

}  // namespace lockstep::lab
