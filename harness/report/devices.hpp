#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "harness/record/evidence.hpp"
#include "harness/report/style.hpp"

namespace lockstep::report {

/// A card, or the processors of a host, over the launches that are shown. -1: not told.
struct DeviceSummary {
  record::DeviceRow device;  ///< as it was recorded first
  std::string site;
  std::string host;
  std::uint64_t readings = 0;
  double clock_mhz = -1.0;  ///< mean over readings
  double power_w = -1.0;    ///< mean over readings
  double hottest_c = -1.0;
  std::uint64_t throttled = 0;  ///< readings that showed a throttle for heat, a power brake or in hardware
  std::int64_t throttle = 0;    ///< bits of all readings
  std::int64_t new_corrected = -1;  ///< memory errors, sum over launches
  std::int64_t new_uncorrected = -1;
  std::int64_t new_link_errors = -1;
  std::vector<std::int64_t> xids;  ///< distinct, ascending
  double cost_share = 0.0;         ///< time that reading took / time watched
};

/// One for each device of the launches that are wanted, in order of appearance.
[[nodiscard]] std::vector<DeviceSummary> summarize_devices(const record::Evidence& evidence,
                                                           const std::function<bool(std::uint32_t)>& wanted);

/// Empty without devices.
[[nodiscard]] std::string device_table(const std::vector<DeviceSummary>& devices, const Style& style);
[[nodiscard]] nlohmann::ordered_json device_json(const DeviceSummary& device);

}  // namespace lockstep::report
