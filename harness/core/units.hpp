#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace lockstep {

/// Three significant digits with a binary suffix: `4.00 MiB`.
[[nodiscard]] std::string format_bytes(double bytes);
/// Three significant digits with a decimal suffix: `1.25 GB/s` (GB = 1e9 bytes, as busbw is given).
[[nodiscard]] std::string format_rate(double bytes_per_s);
/// Three significant digits: `812 ns`, `14.2 us`, `96.1 ms`, `3.21 s`; from 2 minutes on `12 min 05 s`.
[[nodiscard]] std::string format_seconds(double seconds);
/// Three significant digits with a decimal suffix, no unit: `8.03G`.
[[nodiscard]] std::string format_count(double count);
/// `0.9731` -> `97.3 %`.
[[nodiscard]] std::string format_percent(double fraction, int decimals = 1);

/// Size in bytes as nccl-tests writes it: an integer with an optional binary suffix K, M or G (`64K` =
/// 65536).
[[nodiscard]] std::optional<std::uint64_t> parse_size(std::string_view text);

constexpr double kNsPerS = 1e9;
[[nodiscard]] constexpr double seconds_from_ns(std::int64_t ns) {
  return static_cast<double>(ns) / kNsPerS;
}
/// To the nearest.
[[nodiscard]] constexpr std::int64_t ns_from_seconds(double seconds) {
  return static_cast<std::int64_t>(seconds * kNsPerS + (seconds < 0.0 ? -0.5 : 0.5));
}

}  // namespace lockstep
