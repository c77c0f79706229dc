#include "harness/watch/names.hpp"

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "harness/core/text.hpp"

namespace lockstep::watch {
namespace {

constexpr std::size_t kMostNamed = 8;

/// All ranks at that place, ascending.
template <class NameOf>
std::vector<std::uint32_t> ranks_at(const LaunchView& view, const std::string& name, NameOf name_of) {
  std::vector<std::uint32_t> ranks;
  for (std::uint32_t rank = 0; rank < view.rank_count(); ++rank) {
    if (name_of(rank) == name)
      ranks.push_back(rank);
  }
  return ranks;
}

}  // namespace

std::string rank_name(const LaunchView& view, std::uint32_t rank) {
  const std::string& host = view.host_of(rank);
  return host.empty() ? fmt::format("rank {}", rank) : fmt::format("rank {} on {}", rank, host);
}

std::string rank_and_place(const LaunchView& view, std::uint32_t rank) {
  std::string text = fmt::format("rank {}", rank);
  if (const std::string& host = view.host_of(rank); !host.empty())
    text += fmt::format(" on host {}", host);
  if (const std::string& site = view.site_of(rank); !site.empty())
    text += fmt::format(" (site {})", site);
  return text;
}

std::string rank_list(std::span<const std::uint32_t> ascending) {
  std::vector<std::string> runs;
  std::size_t named = 0;
  for (std::size_t i = 0; i < ascending.size() && runs.size() < kMostNamed;) {
    std::size_t last = i;
    while (last + 1 < ascending.size() && ascending[last + 1] == ascending[last] + 1)
      ++last;
    const char* separator = last == i + 1 ? ", " : "-";
    runs.push_back(last == i ? fmt::format("{}", ascending[i])
                             : fmt::format("{}{}{}", ascending[i], separator, ascending[last]));
    named += last + 1 - i;
    i = last + 1;
  }
  std::string text = (ascending.size() == 1 ? "rank " : "ranks ") + join(runs, ", ");
  if (named < ascending.size())
    text += fmt::format(" and {} more", ascending.size() - named);
  return text;
}

Place place_of(const LaunchView& view, std::span<const std::uint32_t> ascending, bool whole_hosts) {
  if (ascending.empty())
    return {};
  const std::vector<std::uint32_t> ranks(ascending.begin(), ascending.end());
  const std::string& site = view.site_of(ranks.front());
  const std::string& host = view.host_of(ranks.front());
  const auto site_of = [&view](std::uint32_t rank) -> const std::string& { return view.site_of(rank); };
  const auto host_of = [&view](std::uint32_t rank) -> const std::string& { return view.host_of(rank); };
  const bool all = ranks.size() == view.rank_count() && ranks.size() > 1;
  if (all && (!whole_hosts || view.sites().size() > 1))
    return {Scope::all, {}};
  std::set<std::string> hosts;
  for (const std::uint32_t rank : ranks)
    hosts.insert(view.host_of(rank));
  // A site of one host goes by its host, unless that host serves other sites as well.
  const bool host_shared = ranks_at(view, host, host_of).size() > ranks_at(view, site, site_of).size();
  if (!site.empty() && (hosts.size() > 1 || host_shared) && ranks_at(view, site, site_of) == ranks)
    return {Scope::site, "site " + site};
  if (!host.empty() && (ranks.size() > 1 || whole_hosts) && ranks_at(view, host, host_of) == ranks)
    return {Scope::host, "host " + host};
  if (ranks.size() == 1)
    return {Scope::rank, rank_name(view, ranks.front())};
  return {Scope::several, rank_list(ranks)};
}

std::string device_name(const LaunchView& view, const record::DeviceRow* device) {
  if (device == nullptr)
    return {};
  const std::string& host = view.host_of(device->rank);
  if (device->kind == "cpu")
    return fmt::format("processors{}{}", host.empty() ? "" : " of host " + host,
                       device->name.empty() ? "" : " (" + device->name + ")");
  std::string text = "card";
  if (!device->name.empty())
    text += " " + device->name;
  if (!device->serial.empty())
    return text + ", serial " + device->serial;
  // Without a serial number the card can be told from others by where it sits.
  return device->uuid.empty() ? text + ", " + device->pci_bus : text + ", " + device->uuid;
}

std::string between(std::vector<std::string> sites) {
  std::sort(sites.begin(), sites.end());
  return join(sites, sites.size() == 2 ? " - " : ", ");
}

std::string one_way(const std::string& from, const std::string& to) {
  return from + " -> " + to;
}

std::string shortened(std::string text, std::size_t most) {
  if (text.size() <= most)
    return text;
  std::size_t end = most - 3;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U)
    --end;
  text.resize(end);
  return text + "...";
}

}  // namespace lockstep::watch
