#pragma once

#include <cstdint>
#include <optional>

#include "harness/record/evidence.hpp"

namespace lockstep::watch {

/// One look at a device, in the units of record::HealthRow. What it does not tell has no value.
struct HealthReading {
  std::optional<double> clock_mhz{};
  std::optional<double> memory_mhz{};
  std::optional<double> temperature_c{};
  std::optional<double> power_w{};
  std::optional<std::int64_t> throttle{};    ///< bits as in throttle.hpp
  std::optional<std::int64_t> thermal_ns{};  ///< counters, here and below
  std::optional<std::int64_t> ecc_corrected{};
  std::optional<std::int64_t> ecc_uncorrected{};
  std::optional<std::int64_t> remapped_rows{};
  std::optional<std::int64_t> link_errors{};
  std::optional<bool> remap_pending{};
  std::optional<bool> remap_failed{};
  std::optional<std::int64_t> xid{};  ///< last since the reading before; 0: none
};

/// A device that can be looked at. For one thread at a time; a look may take milliseconds, and with a broken
/// driver it may never end.
class HealthSource {
 public:
  HealthSource() = default;
  HealthSource(const HealthSource&) = delete;
  HealthSource& operator=(const HealthSource&) = delete;
  virtual ~HealthSource() = default;
  /// What it is. leg, rank and device are left to the caller.
  [[nodiscard]] virtual record::DeviceRow describe() const = 0;
  /// `now_ns`: monotonic.
  [[nodiscard]] virtual HealthReading read(std::int64_t now_ns) = 0;
};

}  // namespace lockstep::watch
