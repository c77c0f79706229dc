#include "harness/campaign/survey_schedule.hpp"

#include <algorithm>
#include <optional>
#include <utility>

#include "harness/core/text.hpp"
#include "harness/plan/network.hpp"

namespace lockstep::campaign {
namespace {

struct TimedPair {
  double round_trip_s = 0.0;
  PathPair pair;
};

const PathReport* find_path(const Survey& survey, std::uint32_t from, std::uint32_t to) {
  for (const PathReport& path : survey.paths) {
    if (path.from == from && path.to == to)
      return &path;
  }
  return nullptr;
}

bool is_good(const PathReport* path) {
  return path != nullptr && path->trips && path->trips->exchanges > 0;
}

bool names(const std::string& list, const watch::InterfaceAddress& entry) {
  const auto own = plan::parse_address(entry.address);
  for (const std::string& part : split(list, ',')) {
    const std::string word(trim(part));
    if (word == entry.interface)
      return true;
    const auto network = plan::parse_network(word);
    if (network && own && plan::contains(network->network, *own))
      return true;
  }
  return false;
}

}  // namespace

std::vector<std::vector<PathPair>> rounds_of_pairs(const std::vector<std::uint32_t>& hosts) {
  constexpr std::uint32_t kNobody = ~0U;
  std::vector<std::uint32_t> circle = hosts;
  if (circle.size() % 2 != 0)
    circle.push_back(kNobody);
  std::vector<std::vector<PathPair>> rounds;
  for (std::size_t round = 0; round + 1 < circle.size(); ++round) {
    std::vector<PathPair>& pairs = rounds.emplace_back();
    for (std::size_t i = 0; i < circle.size() / 2; ++i) {
      const std::uint32_t a = circle[i];
      const std::uint32_t b = circle[circle.size() - 1 - i];
      if (a != kNobody && b != kNobody)
        pairs.push_back({std::min(a, b), std::max(a, b)});
    }
    // The first keeps its place, the others move on by one.
    std::rotate(circle.begin() + 1, circle.end() - 1, circle.end());
  }
  return rounds;
}

std::vector<PathPair> reversed(std::vector<PathPair> pairs) {
  for (PathPair& pair : pairs)
    std::swap(pair.from, pair.to);
  return pairs;
}

std::vector<PathPair> bandwidth_pairs(const Survey& survey, bool inside_sites) {
  std::map<std::pair<std::uint32_t, std::uint32_t>, std::vector<TimedPair>> by_sites;
  for (const PathReport& path : survey.paths) {
    if (path.from > path.to || !is_good(&path) || !is_good(find_path(survey, path.to, path.from)))
      continue;
    const std::uint32_t a = survey.hosts[path.from].site.value();
    const std::uint32_t b = survey.hosts[path.to].site.value();
    if (a != b || inside_sites)
      by_sites[{std::min(a, b), std::max(a, b)}].push_back({path.trips->min_s, {path.from, path.to}});
  }
  std::vector<PathPair> chosen;
  for (auto& [sites, pairs] : by_sites) {
    std::stable_sort(pairs.begin(), pairs.end(),
                     [](const TimedPair& x, const TimedPair& y) { return x.round_trip_s < y.round_trip_s; });
    chosen.push_back(pairs[pairs.size() / 2].pair);
  }
  return chosen;
}

std::vector<std::string> transport_addresses(const std::vector<watch::InterfaceAddress>& addresses,
                                             const std::map<std::string, std::string>& mca) {
  const auto include = mca.find("btl_tcp_if_include");
  const auto exclude = mca.find("btl_tcp_if_exclude");
  std::vector<std::string> ipv4;
  std::vector<std::string> ipv6;
  for (const watch::InterfaceAddress& entry : addresses) {
    const bool used = include != mca.end()   ? names(include->second, entry)
                      : exclude != mca.end() ? !entry.loopback && !names(exclude->second, entry)
                                             : !entry.loopback;
    if (used)
      (entry.address.find(':') == std::string::npos ? ipv4 : ipv6).push_back(entry.address);
  }
  return ipv4.empty() ? ipv6 : ipv4;
}

}  // namespace lockstep::campaign
