#include "harness/lab/quantity.hpp"

#include <array>
#include <cctype>
#include <charconv>
#include <cmath>
#include <span>

#include <fmt/format.h>

#include "harness/core/error.hpp"
#include "harness/core/text.hpp"
#include "harness/core/units.hpp"

namespace lockstep::lab {
namespace {

struct Unit {
  std::string_view name;
  double factor;
};

constexpr std::array kTimes{Unit{"ns", 1.0},    Unit{"us", 1e3},   Unit{"ms", 1e6},
                            Unit{"s", kNsPerS}, Unit{"min", 60e9}, Unit{"h", 3600e9}};
constexpr std::array kRates{Unit{"k", 1e3}, Unit{"K", 1e3}, Unit{"M", 1e6}, Unit{"G", 1e9}, Unit{"T", 1e12}};
constexpr std::array kDistances{Unit{"km", 1.0}, Unit{"mi", 1.609344}};
constexpr double kLongestNs = 86400e9;

[[noreturn]] void refuse(std::string_view text, const char* what, const char* example) {
  throw InputError({.what = fmt::format("\"{}\" is no {}", text, what),
                    .why = {},
                    .suggestion = fmt::format("write it as {}", example),
                    .file = {}});
}

struct Parts {
  double value = 0.0;
  std::string_view unit;  ///< empty when there is none
};

/// Number and unit; false when there is no number, or one that is negative or infinite.
bool split_quantity(std::string_view text, Parts& parts) {
  text = trim(text);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), parts.value);
  if (error != std::errc{} || !(parts.value >= 0.0) || std::isinf(parts.value))
    return false;
  parts.unit = trim(text.substr(static_cast<std::size_t>(end - text.data())));
  return true;
}

double parse_quantity(std::string_view text, std::span<const Unit> units, const char* what,
                      const char* example) {
  Parts parts;
  if (!split_quantity(text, parts))
    refuse(text, what, example);
  if (parts.unit.empty() && parts.value == 0.0)
    return 0.0;
  for (const Unit& unit : units) {
    if (unit.name == parts.unit)
      return parts.value * unit.factor;
  }
  refuse(text, what, example);
}

/// `value` with the largest unit that keeps it at least 1, in as few digits as read back equal.
std::string quantity_text(double value, std::span<const Unit> units, std::string_view after) {
  if (value == 0.0)
    return "0";
  const Unit* chosen = &units.front();
  for (const Unit& unit : units) {
    if (value >= unit.factor)
      chosen = &unit;
  }
  return fmt::format("{:.12g}{}{}", value / chosen->factor, chosen->name, after);
}

}  // namespace

std::int64_t parse_duration_ns(std::string_view text) {
  const double ns = parse_quantity(text, kTimes, "time", "20ms, 250us or 1.5s");
  if (ns > kLongestNs)
    refuse(text, "time of at most a day", "20ms, 250us or 1.5s");
  return std::llround(ns);
}

double parse_bits_per_s(std::string_view text) {
  std::string_view number = trim(text);
  for (const std::string_view ending : {"bit/s", "b/s", "bit", "bps"}) {
    if (number.ends_with(ending)) {
      number.remove_suffix(ending.size());
      break;
    }
  }
  return parse_quantity(number, kRates, "rate", "800Mb/s or 1G (bits a second, decimal)");
}

double parse_share(std::string_view text) {
  Parts parts;
  const bool good = split_quantity(text, parts) && (parts.unit.empty() || parts.unit == "%");
  const double share = parts.unit == "%" ? parts.value / 100.0 : parts.value;
  if (!good || share > 1.0)
    refuse(text, "share", "0.1% or 0.001 (from 0 to 1)");
  return share;
}

double parse_km(std::string_view text) {
  return parse_quantity(text, kDistances, "distance", "16km or 10mi");
}

std::uint64_t parse_bytes(std::string_view text) {
  const auto bytes = parse_size(trim(text));
  if (!bytes)
    refuse(text, "number of bytes", "65536, 256K or 4M (binary)");
  return *bytes;
}

std::string duration_text(std::int64_t ns) {
  return quantity_text(static_cast<double>(ns), std::span(kTimes).first(4), "");
}

std::string rate_text(double bits_per_s) {
  return quantity_text(bits_per_s, std::span(kRates).subspan(1), "b/s");
}

std::string share_text(double share) {
  return share == 0.0 ? "0" : fmt::format("{:.12g}%", share * 100.0);
}

std::string bytes_text(std::uint64_t bytes) {
  constexpr std::uint64_t kKi = 1024;
  if (bytes >= kKi * kKi && bytes % (kKi * kKi) == 0)
    return fmt::format("{}M", bytes / (kKi * kKi));
  if (bytes >= kKi && bytes % kKi == 0)
    return fmt::format("{}K", bytes / kKi);
  return std::to_string(bytes);
}

}  // namespace lockstep::lab
