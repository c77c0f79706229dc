#pragma once

#include <cstdint>
#include <string>
#include <string_view>

/// Quantities as a person writes them in a lab's specification and on the command line. Blanks between number
/// and unit are allowed. Each parser throws InputError (without file and line) for what it cannot read.
namespace lockstep::lab {

/// `250us`, `20 ms`, `1.5s`, `2min`: a time in ns, at most a day. A unit is required, 0 apart.
[[nodiscard]] std::int64_t parse_duration_ns(std::string_view text);
/// `50M`, `800 Mb/s`, `1Gbit/s`, decimal: bits a second. A suffix is required, 0 apart.
[[nodiscard]] double parse_bits_per_s(std::string_view text);
/// `0.1%` or `0.001`: a share from 0 to 1.
[[nodiscard]] double parse_share(std::string_view text);
/// `16km`, `10mi`: a distance in km. A unit is required.
[[nodiscard]] double parse_km(std::string_view text);
/// `4M`: bytes, with a binary suffix K, M or G.
[[nodiscard]] std::uint64_t parse_bytes(std::string_view text);

/// The shortest text that the parser reads back: `20ms`, `1.25ms`, `0`.
[[nodiscard]] std::string duration_text(std::int64_t ns);
[[nodiscard]] std::string rate_text(double bits_per_s);
[[nodiscard]] std::string share_text(double share);
[[nodiscard]] std::string bytes_text(std::uint64_t bytes);

/// One-way delay of a fibre: light travels in glass at about two thirds of its speed in vacuum.
constexpr double kFibreNsPerKm = 4900.0;

}  // namespace lockstep::lab
