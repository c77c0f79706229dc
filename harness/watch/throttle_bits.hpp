#pragma once

#include <cstdint>
#include <string>

/// Why a device ran below its clocks. Bits of record::HealthRow::throttle, numbered as NVML numbers its
/// nvmlClocksEventReasons.
namespace lockstep::watch {

inline constexpr std::int64_t kThrottleIdle = 0x1;
inline constexpr std::int64_t kThrottleApplicationClocks = 0x2;
inline constexpr std::int64_t kThrottlePowerCap = 0x4;
inline constexpr std::int64_t kThrottleHardware = 0x8;
inline constexpr std::int64_t kThrottleSyncBoost = 0x10;
inline constexpr std::int64_t kThrottleHeatSoftware = 0x20;
inline constexpr std::int64_t kThrottleHeatHardware = 0x40;
inline constexpr std::int64_t kThrottlePowerBrake = 0x80;
inline constexpr std::int64_t kThrottleDisplayClocks = 0x100;

/// Those that mean that something is wrong with cooling or power. A card at its power cap works as it was
/// set, and an idle one has nothing to do.
inline constexpr std::int64_t kRealThrottle =
    kThrottleHardware | kThrottleHeatSoftware | kThrottleHeatHardware | kThrottlePowerBrake;

/// `heat (hardware), power brake`; empty for 0, and for what is not known (-1).
[[nodiscard]] std::string throttle_words(std::int64_t bits);

}  // namespace lockstep::watch
