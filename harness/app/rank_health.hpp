#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "harness/plan/plan.hpp"
#include "harness/record/journal.hpp"
#include "harness/watch/health_sampler.hpp"
#include "harness/watch/health_source.hpp"

namespace lockstep::app {

/// Where to look for devices; a test puts others there.
struct DevicePlaces {
  std::string nvml;       ///< library, as dlopen takes it
  std::string root = "";  ///< where /sys and /proc are
  DevicePlaces();
};

/// What a rank watches.
struct WatchedDevices {
  std::vector<std::unique_ptr<watch::HealthSource>> sources;
  std::vector<record::DeviceRow> rows;
  std::vector<std::string> warnings;  ///< one line each: what it should watch and cannot
};

/// The card that the rank computes on, by the PCI bus id or UUID that RankRow::gpu names; and on the first
/// rank of each host its processors. Nothing when the plan asks for no readings. A broken driver may keep it
/// for long, so it is called with a deadline around it.
[[nodiscard]] WatchedDevices find_devices(const plan::Plan& plan, const record::RankRow& rank,
                                          const DevicePlaces& places = {});

/// Room that the journal needs for them.
[[nodiscard]] std::uint32_t health_rows(const WatchedDevices& devices);

/// Begins to read them; null when there are none. Rows go to `journal`, which outlives what is returned.
[[nodiscard]] std::unique_ptr<watch::HealthSampler> start_health(const plan::Plan& plan,
                                                                 WatchedDevices devices,
                                                                 const record::RankRow& rank,
                                                                 record::Journal& journal);

}  // namespace lockstep::app
