#include "harness/watch/nvml_health.hpp"

#include <vector>

#include <fmt/format.h>

#include "harness/core/text.hpp"

namespace lockstep::watch {
namespace {

std::optional<std::int64_t> counter(const std::optional<std::uint64_t>& value) {
  return value ? std::optional(static_cast<std::int64_t>(*value)) : std::nullopt;
}

}  // namespace

std::string missing_text(const std::map<std::string, std::string>& missing) {
  std::map<std::string, std::vector<std::string>> by_reason;
  for (const auto& [column, reason] : missing)
    by_reason[reason].push_back(column);
  std::vector<std::string> parts;
  for (const auto& [reason, columns] : by_reason)
    parts.push_back(fmt::format("{} ({})", join(columns, ", "), reason));
  return join(parts, "; ");
}

record::DeviceRow NvmlHealth::describe() const {
  const cuda::CardIdentity& card = card_.identity();
  record::DeviceRow row;
  row.kind = "gpu";
  row.name = card.name;
  row.serial = card.serial;
  row.uuid = card.uuid;
  row.pci_bus = card.pci_bus;
  row.driver = card.driver;
  row.firmware = card.vbios;
  row.power_limit_w = card.power_limit_w.value_or(-1.0);
  std::map<std::string, std::string> missing = card_.missing();
  if (auto clock = missing.extract("sm_mhz"); !clock.empty()) {
    clock.key() = "clock_mhz";
    missing.insert(std::move(clock));
  }
  row.missing = missing_text(missing);
  return row;
}

HealthReading NvmlHealth::read(std::int64_t /*now_ns*/) {
  const cuda::CardReading card = card_.read();
  HealthReading reading;
  reading.clock_mhz = card.sm_mhz;
  reading.memory_mhz = card.memory_mhz;
  reading.temperature_c = card.temperature_c;
  reading.power_w = card.power_w;
  reading.throttle = counter(card.throttle);
  reading.thermal_ns = counter(card.thermal_ns);
  reading.ecc_corrected = counter(card.ecc_corrected);
  reading.ecc_uncorrected = counter(card.ecc_uncorrected);
  reading.remapped_rows = counter(card.remapped_rows);
  reading.link_errors = counter(card.link_errors);
  reading.remap_pending = card.remap_pending;
  reading.remap_failed = card.remap_failed;
  reading.xid = counter(card.xid);
  return reading;
}

}  // namespace lockstep::watch
