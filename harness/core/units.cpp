#include "harness/core/units.hpp"

#include <array>
#include <charconv>
#include <cmath>

#include <fmt/format.h>

namespace lockstep {
namespace {

std::string three_digits(double value) {
  const double magnitude = std::fabs(value);
  if (magnitude >= 99.95)
    return fmt::format("{:.0f}", value);
  if (magnitude >= 9.995)
    return fmt::format("{:.1f}", value);
  return fmt::format("{:.2f}", value);
}

template <std::size_t N>
std::string with_suffix(double value, double base, const std::array<const char*, N>& suffixes) {
  std::size_t i = 0;
  while (std::fabs(value) >= base * 0.9995 && i + 1 < N) {
    value /= base;
    ++i;
  }
  const bool whole = i == 0 && value == std::floor(value);
  return (whole ? fmt::format("{:.0f}", value) : three_digits(value)) + suffixes[i];
}

}  // namespace

std::string format_bytes(double bytes) {
  return with_suffix<6>(bytes, 1024.0, {" B", " KiB", " MiB", " GiB", " TiB", " PiB"});
}

std::string format_rate(double bytes_per_s) {
  return with_suffix<5>(bytes_per_s, 1000.0, {" B/s", " kB/s", " MB/s", " GB/s", " TB/s"});
}

std::string format_count(double count) {
  return with_suffix<7>(count, 1000.0, {"", "k", "M", "G", "T", "P", "E"});
}

std::string format_seconds(double seconds) {
  const double magnitude = std::fabs(seconds);
  if (magnitude >= 120.0) {
    const auto whole = static_cast<std::int64_t>(std::llround(magnitude));
    return fmt::format("{}{} min {:02d} s", seconds < 0 ? "-" : "", whole / 60, whole % 60);
  }
  if (magnitude >= 0.9995)
    return three_digits(seconds) + " s";
  if (magnitude >= 0.9995e-3)
    return three_digits(seconds * 1e3) + " ms";
  if (magnitude >= 0.9995e-6)
    return three_digits(seconds * 1e6) + " us";
  return fmt::format("{:.0f} ns", seconds * 1e9);
}

std::string format_percent(double fraction, int decimals) {
  return fmt::format("{:.{}f} %", fraction * 100.0, decimals);
}

std::optional<std::uint64_t> parse_size(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{})
    return std::nullopt;
  const std::string_view rest(end, static_cast<std::size_t>(text.data() + text.size() - end));
  int shift = 0;
  if (rest == "K" || rest == "KiB")
    shift = 10;
  else if (rest == "M" || rest == "MiB")
    shift = 20;
  else if (rest == "G" || rest == "GiB")
    shift = 30;
  else if (!rest.empty() && rest != "B")
    return std::nullopt;
  if (value > (UINT64_MAX >> shift))
    return std::nullopt;
  return value << shift;
}

}  // namespace lockstep
