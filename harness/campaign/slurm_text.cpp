#include "harness/campaign/slurm_text.hpp"

#include <charconv>

#include <fmt/format.h>

#include "harness/core/error.hpp"
#include "harness/core/text.hpp"
#include "harness/plan/sites.hpp"

namespace lockstep::campaign {
namespace {

constexpr double kSecondsPerMinute = 60.0;
constexpr double kMinutesPerHour = 60.0;
constexpr double kHoursPerDay = 24.0;

std::optional<std::uint32_t> parse_number(std::string_view text) {
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size())
    return std::nullopt;
  return value;
}

/// The groups of a host list: a comma inside brackets does not part them.
std::vector<std::string> split_groups(std::string_view list) {
  std::vector<std::string> groups{""};
  int depth = 0;
  for (const char c : list) {
    depth += c == '[' ? 1 : c == ']' ? -1 : 0;
    if (c == ',' && depth == 0)
      groups.emplace_back();
    else
      groups.back() += c;
  }
  return groups;
}

[[noreturn]] void refuse_counts(std::string_view counts, std::string why) {
  throw InputError({.what = fmt::format("cannot understand the tasks that Slurm gives, \"{}\"", counts),
                    .why = std::move(why),
                    .suggestion = "list the hosts with --hostfile FILE",
                    .file = {}});
}

/// The value of `key=` in a line of `key=value` words; empty when it is not there.
std::string_view value_of(std::string_view line, std::string_view key) {
  std::size_t at = 0;
  while ((at = line.find(key, at)) != std::string_view::npos) {
    const std::size_t end = at + key.size();
    if ((at == 0 || line[at - 1] == ' ') && end < line.size() && line[end] == '=')
      return line.substr(end + 1, line.find(' ', end) - end - 1);
    at = end;
  }
  return {};
}

std::vector<std::string> expand_unless_empty(std::string_view list) {
  return list.empty() ? std::vector<std::string>{} : expand_host_list(list);
}

}  // namespace

std::vector<std::string> expand_host_list(std::string_view list) {
  std::vector<std::string> hosts;
  for (const std::string& group : split_groups(list)) {
    std::vector<std::string> names = plan::expand_hosts(group);
    hosts.insert(hosts.end(), std::make_move_iterator(names.begin()), std::make_move_iterator(names.end()));
  }
  return hosts;
}

std::vector<std::uint32_t> expand_counts(std::string_view counts, std::size_t hosts) {
  std::vector<std::uint32_t> numbers;
  for (const std::string& item : split(counts, ',')) {
    const std::size_t open = item.find("(x");
    std::optional<std::uint32_t> times = 1;
    if (open != std::string::npos && item.ends_with(')'))
      times = parse_number(std::string_view(item).substr(open + 2, item.size() - open - 3));
    const auto number = parse_number(std::string_view(item).substr(0, open));
    if (!number || !times || *number == 0)
      refuse_counts(counts, fmt::format("\"{}\" is no number of tasks", item));
    if (*times > hosts - numbers.size())
      refuse_counts(counts, fmt::format("it has more numbers than the job's {} hosts", hosts));
    numbers.insert(numbers.end(), *times, *number);
  }
  if (numbers.size() != hosts)
    refuse_counts(counts, fmt::format("it has {} numbers for {} hosts", numbers.size(), hosts));
  return numbers;
}

std::optional<double> parse_time_s(std::string_view text) {
  text = trim(text);
  std::optional<std::uint32_t> days = 0;
  const std::size_t dash = text.find('-');
  const bool has_days = dash != std::string_view::npos;
  if (has_days) {
    days = parse_number(text.substr(0, dash));
    text = text.substr(dash + 1);
  }
  std::vector<double> parts;
  for (const std::string& part : split(text, ':')) {
    const auto number = parse_number(part);
    if (!number)
      return std::nullopt;
    parts.push_back(*number);
  }
  if (!days || parts.size() > 3)
    return std::nullopt;
  // With days the first part is hours; without, one part is minutes and two are minutes and seconds.
  const std::size_t leading = has_days || parts.size() == 3 ? 0 : 1;
  double hours_minutes_seconds[3] = {};
  for (std::size_t i = 0; i < parts.size(); ++i)
    hours_minutes_seconds[leading + i] = parts[i];
  return ((*days * kHoursPerDay + hours_minutes_seconds[0]) * kMinutesPerHour + hours_minutes_seconds[1]) *
             kSecondsPerMinute +
         hours_minutes_seconds[2];
}

std::vector<Switch> parse_topology(std::string_view text) {
  std::vector<Switch> switches;
  for (const std::string& line : split(text, '\n')) {
    const std::string_view name = value_of(line, "SwitchName");
    if (name.empty())
      continue;
    switches.push_back({std::string(name), expand_unless_empty(value_of(line, "Nodes")),
                        expand_unless_empty(value_of(line, "Switches"))});
  }
  return switches;
}

}  // namespace lockstep::campaign
