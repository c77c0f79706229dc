#include "harness/watch/health_ledger.hpp"

#include <algorithm>

#include "harness/watch/throttle_bits.hpp"

namespace lockstep::watch {
namespace {

/// Both are known, and the counter rose.
bool rose(const std::optional<std::int64_t>& before, const std::optional<std::int64_t>& now) {
  return before && now && *now > *before;
}

}  // namespace

void HealthLedger::Mean::add(const std::optional<double>& value) {
  if (!value)
    return;
  sum += *value;
  ++count;
}

HealthLedger::Signature HealthLedger::signature_of(const HealthReading& reading) const {
  return {.throttle = reading.throttle.value_or(0) & kRealThrottle,
          .heat_counted = rose(last_.thermal_ns, reading.thermal_ns),
          .errors = rose(last_.ecc_uncorrected, reading.ecc_uncorrected) || reading.xid.value_or(0) != 0,
          .remap_pending = reading.remap_pending,
          .remap_failed = reading.remap_failed};
}

bool HealthLedger::take_event() {
  if (events_ >= kEvents)
    return false;
  ++events_;
  return true;
}

void HealthLedger::fold(const HealthReading& reading, std::int64_t now_ns, std::int64_t cost_ns) {
  row_.end_ns = now_ns;
  ++row_.readings;
  row_.cost_ns += cost_ns;
  if (reading.throttle) {
    row_.throttle = std::max<std::int64_t>(0, row_.throttle) | *reading.throttle;
    row_.throttled += (*reading.throttle & kRealThrottle) != 0 ? 1 : 0;
  }
  const auto latest = [](std::int64_t& column, const std::optional<std::int64_t>& value) {
    column = value.value_or(column);
  };
  latest(row_.thermal_ns, reading.thermal_ns);
  latest(row_.ecc_corrected, reading.ecc_corrected);
  latest(row_.ecc_uncorrected, reading.ecc_uncorrected);
  latest(row_.remapped_rows, reading.remapped_rows);
  latest(row_.link_errors, reading.link_errors);
  if (reading.remap_pending)
    row_.remap_pending = *reading.remap_pending ? 1 : 0;
  if (reading.remap_failed)
    row_.remap_failed = *reading.remap_failed ? 1 : 0;
  if (reading.xid && (*reading.xid != 0 || row_.xid < 0))
    row_.xid = *reading.xid;
  if (reading.temperature_c)
    row_.temperature_c = std::max(row_.temperature_c, *reading.temperature_c);
  clock_.add(reading.clock_mhz);
  memory_.add(reading.memory_mhz);
  power_.add(reading.power_w);
}

record::HealthRow HealthLedger::finish() {
  record::HealthRow done = row_;
  done.clock_mhz = clock_.value();
  done.memory_mhz = memory_.value();
  done.power_w = power_.value();
  row_ = {};
  row_.begin_ns = done.end_ns;
  clock_ = memory_ = power_ = {};
  return done;
}

std::vector<record::HealthRow> HealthLedger::add(const HealthReading& reading, std::int64_t now_ns,
                                                 std::int64_t cost_ns) {
  std::vector<record::HealthRow> rows;
  if (!first_ns_) {
    first_ns_ = now_ns;
    row_.begin_ns = now_ns;
  }
  const Signature now = signature_of(reading);
  const bool changed = signature_ && !(*signature_ == now);
  if (changed && row_.readings > 0 && take_event())
    rows.push_back(finish());
  fold(reading, now_ns, cost_ns);
  signature_ = now;
  last_ = reading;
  const bool old_enough = now_ns - row_.begin_ns >= (now_ns - *first_ns_) / kShareOfAge;
  // An error is stored at once: the rank may not live to see the next reading.
  if (old_enough || (now.errors && take_event()))
    rows.push_back(finish());
  return rows;
}

std::optional<record::HealthRow> HealthLedger::close() {
  if (row_.readings == 0)
    return std::nullopt;
  return finish();
}

}  // namespace lockstep::watch
