#include "harness/core/cpu_set.hpp"

#include <algorithm>
#include <charconv>
#include <iterator>

#include <sched.h>

#include "harness/core/text.hpp"

namespace lockstep {
namespace {

std::optional<int> parse_int(std::string_view text) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value < 0)
    return std::nullopt;
  return value;
}

}  // namespace

CpuSet CpuSet::of_this_thread() {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  std::set<int> cpus;
  if (::sched_getaffinity(0, sizeof mask, &mask) == 0) {
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (CPU_ISSET(static_cast<std::size_t>(cpu), &mask))
        cpus.insert(cpu);
    }
  }
  return CpuSet(std::move(cpus));
}

std::optional<CpuSet> CpuSet::parse(std::string_view text) {
  std::set<int> cpus;
  if (text.empty())
    return CpuSet{};
  for (const std::string& part : split(text, ',')) {
    const std::size_t dash = part.find('-');
    const auto first = parse_int(part.substr(0, dash));
    const auto last = dash == std::string::npos ? first : parse_int(part.substr(dash + 1));
    if (!first || !last || *last < *first || *last >= CPU_SETSIZE)
      return std::nullopt;
    for (int cpu = *first; cpu <= *last; ++cpu)
      cpus.insert(cpu);
  }
  return CpuSet(std::move(cpus));
}

CpuSet CpuSet::common(const CpuSet& other) const {
  std::set<int> both;
  std::set_intersection(cpus_.begin(), cpus_.end(), other.cpus_.begin(), other.cpus_.end(),
                        std::inserter(both, both.begin()));
  return CpuSet(std::move(both));
}

std::string CpuSet::text() const {
  std::string text;
  for (auto at = cpus_.begin(); at != cpus_.end();) {
    const int first = *at;
    int last = first;
    for (++at; at != cpus_.end() && *at == last + 1; ++at)
      last = *at;
    if (!text.empty())
      text += ',';
    text += std::to_string(first);
    if (last > first)
      text += '-' + std::to_string(last);
  }
  return text;
}

}  // namespace lockstep
