#include "harness/plan/hosts.hpp"

#include <algorithm>
#include <charconv>

#include "harness/core/error.hpp"
#include "harness/core/text.hpp"
#include "harness/plan/sites.hpp"

namespace lockstep::plan {
namespace {

[[noreturn]] void refuse_pattern(std::string_view pattern, std::string why, std::string suggestion = {}) {
  if (suggestion.empty())
    suggestion = "write it like gpu-a[001-128] or gpu-a[1-4,7]";
  throw InputError({.what = "host pattern '" + std::string(pattern) + "' cannot be expanded",
                    .why = std::move(why),
                    .suggestion = std::move(suggestion),
                    .file = {}});
}

bool is_digits(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

/// A run of numbers inside brackets, printed with at least `width` digits.
struct NumberRange {
  std::uint64_t first = 0;
  std::uint64_t last = 0;
  std::size_t width = 0;
};

std::uint64_t to_number(std::string_view digits, std::string_view pattern) {
  constexpr std::size_t kMostDigits = 12;
  if (!is_digits(digits))
    refuse_pattern(pattern, "'" + std::string(digits) + "' is no number");
  if (digits.size() > kMostDigits)
    refuse_pattern(pattern, "'" + std::string(digits) + "' has more than 12 digits");
  std::uint64_t number = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), number);
  return number;
}

NumberRange parse_range(std::string_view item, std::string_view pattern) {
  const std::size_t dash = item.find('-');
  const std::string_view first = item.substr(0, dash);
  const std::string_view last = dash == std::string_view::npos ? first : item.substr(dash + 1);
  NumberRange range{to_number(first, pattern), to_number(last, pattern), first.size()};
  if (range.last < range.first)
    refuse_pattern(pattern, "the range " + std::string(item) + " runs backwards");
  const bool padded = (first.size() > 1 && first[0] == '0') || (last.size() > 1 && last[0] == '0');
  if (padded && first.size() != last.size())
    refuse_pattern(pattern, "the ends of " + std::string(item) + " are padded to different widths");
  return range;
}

/// One part of a pattern: a fixed text (no ranges), or the numbers in a pair of brackets.
struct Segment {
  std::string text;
  std::vector<NumberRange> ranges;
};

std::vector<Segment> parse_segments(std::string_view pattern) {
  std::vector<Segment> segments;
  std::size_t at = 0;
  while (at < pattern.size()) {
    const std::size_t open = pattern.find_first_of("[]", at);
    if (open != at)
      segments.push_back(
          {std::string(pattern.substr(at, open == std::string_view::npos ? open : open - at)), {}});
    if (open == std::string_view::npos)
      break;
    const std::size_t close = pattern.find_first_of("[]", open + 1);
    if (pattern[open] == ']' || close == std::string_view::npos || pattern[close] == '[')
      refuse_pattern(pattern, "its brackets do not pair");
    Segment segment;
    for (const std::string& item : split(pattern.substr(open + 1, close - open - 1), ','))
      segment.ranges.push_back(parse_range(trim(item), pattern));
    segments.push_back(std::move(segment));
    at = close + 1;
  }
  return segments;
}

std::string padded(std::uint64_t number, std::size_t width) {
  std::string digits = std::to_string(number);
  if (digits.size() < width)
    digits.insert(0, width - digits.size(), '0');
  return digits;
}

/// RFC 1123 names, with the underscore that cluster names use all the same.
bool is_host_name(std::string_view name) {
  constexpr std::size_t kMostCharacters = 253;
  if (name.empty() || name.size() > kMostCharacters)
    return false;
  for (const std::string& label : split(name, '.')) {
    const bool known = std::all_of(label.begin(), label.end(), [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
             c == '_';
    });
    if (label.empty() || !known || label.front() == '-' || label.back() == '-')
      return false;
  }
  return true;
}

HostEntry classify(const std::string& name, std::size_t declared_index) {
  HostEntry entry{lower_case(name), declared_index, std::nullopt, true};
  if (name.find('/') != std::string::npos) {
    const std::optional<ParsedNetwork> parsed = parse_network(name);
    if (!parsed)
      throw InputError({.what = "'" + name + "' is no network in CIDR notation",
                        .why = "it must be an address, a slash and the bits of its prefix",
                        .suggestion = "write it like 10.1.0.0/16 or fd00:1::/32",
                        .file = {}});
    if (parsed->had_host_bits)
      throw InputError({.what = "network '" + name + "' has bits set beyond its prefix",
                        .why = "it could mean the network or one address",
                        .suggestion = "write " + to_string(parsed->network) + " for the network",
                        .file = {}});
    entry.network = parsed->network;
    entry.is_single_host = false;
    return entry;
  }
  entry.network = parse_address(name);
  if (!entry.network && !is_host_name(name))
    throw InputError({.what = "'" + name + "' is no host name, pattern, address or network",
                      .why = "a name has letters, digits, '-', '_' and dots",
                      .suggestion = name.find_first_of(", ") != std::string::npos
                                        ? "write each host as a string of its own: [\"a1\", \"a2\"]"
                                        : "write it like gpu-a1, gpu-a[001-128], 10.1.0.7 or 10.1.0.0/16",
                      .file = {}});
  return entry;
}

}  // namespace

std::vector<std::string> expand_hosts(std::string_view pattern) {
  if (pattern.empty())
    refuse_pattern(pattern, "it is empty");
  const std::vector<Segment> segments = parse_segments(pattern);
  std::vector<std::string> names{""};
  for (const Segment& segment : segments) {
    if (segment.ranges.empty()) {
      for (std::string& name : names)
        name += segment.text;
      continue;
    }
    std::uint64_t numbers = 0;
    for (const NumberRange& range : segment.ranges)
      numbers += range.last - range.first + 1;
    if (numbers > kMostHostsPerPattern / names.size())
      refuse_pattern(pattern, "it stands for more than 1000000 hosts", "check the numbers in its brackets");
    std::vector<std::string> longer;
    longer.reserve(names.size() * numbers);
    for (const std::string& name : names) {
      for (const NumberRange& range : segment.ranges) {
        for (std::uint64_t number = range.first; number <= range.last; ++number)
          longer.push_back(name + padded(number, range.width));
      }
    }
    names = std::move(longer);
  }
  return names;
}

bool is_network(std::string_view host) {
  return parse_network(host).has_value();
}

std::vector<HostEntry> parse_host(std::string_view host, std::size_t declared_index) {
  std::vector<HostEntry> entries;
  const std::vector<std::string> names = expand_hosts(host);
  entries.reserve(names.size());
  for (const std::string& name : names)
    entries.push_back(classify(name, declared_index));
  return entries;
}

std::vector<HostEntry> parse_hosts(std::span<const std::string> hosts) {
  std::vector<HostEntry> entries;
  for (std::size_t i = 0; i < hosts.size(); ++i) {
    std::vector<HostEntry> more = parse_host(hosts[i], i);
    entries.insert(entries.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
  }
  return entries;
}

std::string lower_case(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z')
      c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

std::string_view short_name(std::string_view name) {
  return name.substr(0, name.find('.'));
}

bool may_be_same_host(std::string_view a, std::string_view b) {
  if (a == b)
    return true;
  const bool a_is_short = a.find('.') == std::string_view::npos;
  const bool b_is_short = b.find('.') == std::string_view::npos;
  return a_is_short != b_is_short && short_name(a) == short_name(b);
}

}  // namespace lockstep::plan
