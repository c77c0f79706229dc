#include "harness/campaign/survey_view.hpp"

#include <algorithm>
#include <tuple>

#include <fmt/format.h>

#include "harness/core/error.hpp"
#include "harness/core/text.hpp"
#include "harness/stats/quantile.hpp"

namespace lockstep::campaign {
namespace {

void lower(std::optional<double>& least, double value) {
  least = least ? std::min(*least, value) : value;
}

void add_trips(SiteDirection& direction, const watch::RoundTrips& trips, std::vector<double>& medians_s) {
  lower(direction.min_s, trips.min_s);
  medians_s.push_back(trips.p50_s);
  if (trips.p99_s)
    direction.p99_s = std::max(direction.p99_s.value_or(0.0), *trips.p99_s);
}

void add_path(SiteDirection& direction, const PathReport& path) {
  ++direction.pairs;
  if (path.address.empty())
    return;
  ++direction.reachable;
  // Where not one arrives, datagrams are blocked and not lost.
  if (path.train && path.train->error.empty() && path.train->received > 0) {
    direction.sent += path.train->sent;
    direction.received += std::min(path.train->received, path.train->sent);
  }
  if (path.mtu && path.mtu->path_mtu > 0)
    direction.path_mtu = std::min(direction.path_mtu.value_or(~0U), path.mtu->path_mtu);
}

}  // namespace

SurveyView::SurveyView(const plan::Plan& plan, const Survey& survey)
    : plan_(plan), survey_(survey), hosts_(distinct_hosts(survey)) {
  for (const PathReport& path : survey.paths)
    paths_[{path.from, path.to}] = &path;
}

const std::string& SurveyView::host(std::uint32_t index) const {
  return survey_.hosts[index].name;
}

const std::string& SurveyView::site(SiteId id) const {
  return plan_.sites[id.value()].name;
}

SiteId SurveyView::site_of(std::uint32_t host) const {
  return survey_.hosts[host].site;
}

const HostFacts& SurveyView::facts(std::uint32_t host) const {
  LOCKSTEP_EXPECT(survey_.hosts[host].facts.has_value(), "facts of a host that did not answer");
  return *survey_.hosts[host].facts;
}

const PathReport* SurveyView::path(std::uint32_t from, std::uint32_t to) const {
  const auto at = paths_.find({from, to});
  return at == paths_.end() ? nullptr : at->second;
}

std::optional<double> SurveyView::round_trip_s(std::uint32_t a, std::uint32_t b) const {
  std::optional<double> least_s;
  for (const PathReport* report : {path(a, b), path(b, a)}) {
    if (report != nullptr && report->trips && report->trips->exchanges > 0)
      lower(least_s, report->trips->min_s);
  }
  return least_s;
}

std::vector<std::uint32_t> SurveyView::hosts_of(SiteId id) const {
  std::vector<std::uint32_t> found;
  for (const std::uint32_t i : hosts_) {
    if (survey_.hosts[i].site == id)
      found.push_back(i);
  }
  return found;
}

std::vector<std::string> SurveyView::names(const std::vector<std::uint32_t>& hosts) const {
  std::vector<std::string> names;
  names.reserve(hosts.size());
  for (const std::uint32_t i : hosts)
    names.push_back(host(i));
  return names;
}

std::vector<SiteDirection> site_directions(const SurveyView& view, const Survey& survey) {
  struct Entry {
    SiteDirection direction;
    std::vector<double> medians_s;
  };
  // The two directions of a pair of sites beside each other.
  using Key = std::tuple<std::uint32_t, std::uint32_t, bool>;
  std::map<Key, Entry> entries;
  const auto entry_of = [&](std::uint32_t from, std::uint32_t to) -> Entry& {
    const SiteId a = view.site_of(from);
    const SiteId b = view.site_of(to);
    Entry& entry = entries[{std::min(a, b).value(), std::max(a, b).value(), b < a}];
    entry.direction.from = a;
    entry.direction.to = b;
    return entry;
  };
  for (const PathReport& path : survey.paths) {
    Entry& entry = entry_of(path.from, path.to);
    add_path(entry.direction, path);
    if (!path.trips || path.trips->exchanges == 0)
      continue;
    add_trips(entry.direction, *path.trips, entry.medians_s);
    // A round trip goes both ways.
    Entry& back = entry_of(path.to, path.from);
    if (&back != &entry)
      add_trips(back.direction, *path.trips, back.medians_s);
  }
  for (const StreamReport& stream : survey.streams) {
    SiteDirection& direction = entry_of(stream.from, stream.to).direction;
    if (!stream.rate.error.empty())
      continue;
    if (stream.rate.streams == 1) {
      direction.one_stream_bytes_per_s = stream.rate.bytes_per_s;
    } else {
      direction.streams_bytes_per_s = stream.rate.bytes_per_s;
      direction.streams = stream.rate.streams;
    }
  }
  std::vector<SiteDirection> directions;
  for (auto& [key, entry] : entries) {
    if (!entry.medians_s.empty())
      entry.direction.p50_s = stats::quantile(entry.medians_s, 0.5);
    directions.push_back(entry.direction);
  }
  return directions;
}

std::string some_of(const std::vector<std::string>& names, std::size_t most) {
  // "and 1 more" is no shorter than a name.
  if (names.size() <= most + 1)
    return join(names, ", ");
  const std::vector<std::string> first(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(most));
  return fmt::format("{} and {} more", join(first, ", "), names.size() - most);
}

}  // namespace lockstep::campaign
