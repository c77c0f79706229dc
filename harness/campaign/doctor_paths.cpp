#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "harness/campaign/finding.hpp"
#include "harness/campaign/survey_view.hpp"
#include "harness/core/text.hpp"
#include "harness/core/units.hpp"

namespace lockstep::campaign {
namespace {

/// From this loss on a flow over a wide-area link is limited by it: at 10 ms and 1448-byte segments Mathis'
/// bound is 5.6 MB/s at 0.1 %.
constexpr double kRuinousLoss = 1e-3;

bool is_unreachable(const PathReport* path) {
  return path != nullptr && path->address.empty();
}

/// `10.0.0.1: Connection refused; 10.0.0.2: no answer in time`
std::string attempts_text(const PathReport& path) {
  std::vector<std::string> parts;
  for (const watch::Attempt& attempt : path.attempts)
    parts.push_back(attempt.address + ": " + attempt.error);
  return parts.empty() ? "it has no address to try" : join(parts, "; ");
}

std::string firewall_advice(bool one_way) {
  return one_way ? "look for a firewall, NAT or a route that works one way only; Open MPI connects in either "
                   "direction"
                 : "look for a firewall, a missing route, or a wrong btl_tcp_if_include; Open MPI does not "
                   "cross NAT";
}

constexpr const char* kUnreachableWhy =
    "Open MPI connects any two ranks on ports that the kernel chooses: it would hang for minutes, or abort";

/// Ordered pairs of hosts between which nothing connects.
using Directions = std::set<std::pair<std::uint32_t, std::uint32_t>>;

/// A host that no other reaches, and that reaches no other, is one finding and not many.
void find_isolated(const SurveyView& view, Directions& left, std::vector<Finding>& found) {
  if (view.hosts().size() < 3)
    return;
  std::vector<std::uint32_t> isolated;
  for (const std::uint32_t i : view.hosts()) {
    const bool alone = std::all_of(view.hosts().begin(), view.hosts().end(), [&](std::uint32_t j) {
      return i == j || (left.contains({i, j}) && left.contains({j, i}));
    });
    if (alone)
      isolated.push_back(i);
  }
  if (isolated.size() == view.hosts().size())
    return;
  for (const std::uint32_t i : isolated) {
    const std::uint32_t other = view.hosts().front() == i ? view.hosts()[1] : view.hosts().front();
    found.push_back(
        {.severity = Severity::error,
         .kind = "unreachable",
         .hosts = {view.host(i)},
         .sites = {view.site(view.site_of(i))},
         .what = fmt::format("{} and the other hosts cannot connect in either direction (TCP; from {}: {})",
                             view.host(i), view.host(other), attempts_text(*view.path(other, i))),
         .why = kUnreachableWhy,
         .advice = firewall_advice(false)});
    std::erase_if(left, [i](const auto& pair) { return pair.first == i || pair.second == i; });
  }
}

/// All of one site to all of another.
void find_cut_sites(const SurveyView& view, const std::vector<SiteDirection>& directions, Directions& left,
                    std::vector<Finding>& found) {
  std::set<std::pair<SiteId, SiteId>> cut;
  for (const SiteDirection& direction : directions) {
    // One pair of hosts is told as hosts.
    if (!(direction.from == direction.to) && direction.pairs > 1 && direction.reachable == 0)
      cut.insert({direction.from, direction.to});
  }
  for (const auto& sites : cut) {
    const SiteId from = sites.first;
    const SiteId to = sites.second;
    const bool both = cut.contains({to, from});
    if (both && to < from)
      continue;
    const auto pair = std::find_if(left.begin(), left.end(), [&](const auto& one) {
      return view.site_of(one.first) == from && view.site_of(one.second) == to;
    });
    if (pair == left.end())
      continue;
    const std::string reasons = attempts_text(*view.path(pair->first, pair->second));
    found.push_back(
        {.severity = Severity::error,
         .kind = "unreachable",
         .hosts = {},
         .sites = {view.site(from), view.site(to)},
         .what =
             both ? fmt::format(
                        "no host of site {} and site {} can connect in either direction (TCP; {} to {}: {})",
                        view.site(from), view.site(to), view.host(pair->first), view.host(pair->second),
                        reasons)
                  : fmt::format("no host of site {} can connect to site {} (TCP; {} to {}: {}); the other "
                                "direction works",
                                view.site(from), view.site(to), view.host(pair->first),
                                view.host(pair->second), reasons),
         .why = kUnreachableWhy,
         .advice = firewall_advice(!both)});
  }
  std::erase_if(left, [&](const auto& pair) {
    return cut.contains({view.site_of(pair.first), view.site_of(pair.second)});
  });
}

void find_unreachable(const SurveyView& view, const std::vector<SiteDirection>& directions,
                      std::vector<Finding>& found) {
  Directions left;
  for (const std::uint32_t i : view.hosts()) {
    for (const std::uint32_t j : view.hosts()) {
      if (is_unreachable(view.path(i, j)))
        left.insert({i, j});
    }
  }
  find_isolated(view, left, found);
  find_cut_sites(view, directions, left, found);
  for (const auto& [from, to] : left) {
    const bool both = left.contains({to, from});
    if (both && to < from)
      continue;
    found.push_back({.severity = Severity::error,
                     .kind = "unreachable",
                     .hosts = {view.host(from), view.host(to)},
                     .sites = {view.site(view.site_of(from)), view.site(view.site_of(to))},
                     .what = fmt::format("{} cannot connect to {} (TCP; {}); the other direction {}",
                                         view.host(from), view.host(to), attempts_text(*view.path(from, to)),
                                         both ? "fails too" : "works"),
                     .why = kUnreachableWhy,
                     .advice = firewall_advice(!both)});
  }
}

/// Addresses that do not work while another of the same host does: Open MPI may choose them.
void find_dead_addresses(const DoctorInput& input, const SurveyView& view, std::vector<Finding>& found) {
  struct Dead {
    std::vector<std::string> from;
    std::string error;
  };
  std::map<std::pair<std::uint32_t, std::string>, Dead> dead;
  for (const PathReport& path : input.survey.paths) {
    if (path.address.empty())
      continue;
    for (const watch::Attempt& attempt : path.attempts) {
      if (attempt.error.empty())
        continue;
      Dead& entry = dead[{path.to, attempt.address}];
      entry.from.push_back(view.host(path.from));
      entry.error = attempt.error;
    }
  }
  for (const auto& [where, entry] : dead) {
    const auto& [host, address] = where;
    std::string interface = "an interface";
    for (const watch::InterfaceAddress& own : view.facts(host).addresses) {
      if (own.address == address)
        interface = own.interface;
    }
    found.push_back(
        {.severity = Severity::error,
         .kind = "dead-address",
         .hosts = {view.host(host)},
         .sites = {view.site(view.site_of(host))},
         .what = fmt::format("address {} ({}) of {} does not answer {}: {}", address, interface,
                             view.host(host), some_of(entry.from), entry.error),
         .why = "Open MPI takes every address of a host for usable, and may hang on this one",
         .advice = "set mpi.mca.btl_tcp_if_include and oob_tcp_if_include to the network that all hosts "
                   "share, in CIDR notation"});
  }
}

void find_loss(const SurveyView& view, const std::vector<SiteDirection>& directions,
               std::vector<Finding>& found) {
  for (const SiteDirection& direction : directions) {
    if (direction.received >= direction.sent)
      continue;
    const std::uint32_t lost = direction.sent - direction.received;
    const double share = static_cast<double>(lost) / direction.sent;
    const std::string& from = view.site(direction.from);
    const std::string& to = view.site(direction.to);
    found.push_back(
        {.severity = share >= kRuinousLoss ? Severity::error : Severity::warning,
         .kind = "loss",
         .hosts = {},
         .sites = {from, to},
         .what = fmt::format("{}: {} of {} datagrams were lost ({}; UDP, one a millisecond, {} host pairs)",
                             direction.from == direction.to ? "inside site " + from
                                                            : fmt::format("site {} to site {}", from, to),
                             lost, direction.sent, format_percent(share, 2), direction.pairs),
         .why = "TCP takes a lost packet for congestion: over distance a flow's rate falls to about "
                "1.22 x segment / (round trip x root of the loss)",
         .advice =
             "look for dirty optics, a shallow buffer or a policer on the way; until then more connections "
             "(btl_tcp_links) or another congestion control (bbr) lessen it"});
  }
}

void find_blocked_datagrams(const DoctorInput& input, const SurveyView& view, std::vector<Finding>& found) {
  std::set<std::pair<SiteId, SiteId>> blocked;
  for (const PathReport& path : input.survey.paths) {
    if (path.train && path.train->error.empty() && path.train->sent > 0 && path.train->received == 0)
      blocked.insert({view.site_of(path.from), view.site_of(path.to)});
  }
  for (const auto& [from, to] : blocked) {
    found.push_back(
        {.severity = Severity::note,
         .kind = "no-datagrams",
         .hosts = {},
         .sites = {view.site(from), view.site(to)},
         .what = fmt::format("no datagram (UDP) from site {} to site {} arrives, while TCP does",
                             view.site(from), view.site(to)),
         .why = "loss and MTU of that direction could not be measured; Lockstep itself needs no UDP",
         .advice = "let UDP through during the preflight to measure them"});
  }
}

std::uint32_t interface_mtu(const PathReport* path) {
  return path != nullptr && path->mtu ? path->mtu->interface_mtu : 0;
}

/// A path that takes less than the interfaces at its ends do.
struct NarrowPath {
  std::uint32_t from = 0;
  std::uint32_t to = 0;
  std::uint32_t path_mtu = 0;
  std::uint32_t expected = 0;
};

std::vector<NarrowPath> narrow_paths(const DoctorInput& input, const SurveyView& view) {
  std::vector<NarrowPath> narrow;
  for (const PathReport& path : input.survey.paths) {
    if (!path.mtu || path.mtu->path_mtu == 0)
      continue;
    // TCP's segments are cut for the smaller of the two interfaces, whatever is between them.
    const std::uint32_t there = interface_mtu(view.path(path.to, path.from));
    const std::uint32_t expected =
        there > 0 ? std::min(path.mtu->interface_mtu, there) : path.mtu->interface_mtu;
    if (path.mtu->path_mtu < expected)
      narrow.push_back({path.from, path.to, path.mtu->path_mtu, expected});
  }
  return narrow;
}

Finding narrow_finding(const SurveyView& view, const std::vector<NarrowPath>& paths) {
  std::vector<std::string> pairs;
  std::uint32_t path_mtu = ~0U;
  std::uint32_t expected = 0;
  for (const NarrowPath& path : paths) {
    pairs.push_back(view.host(path.from) + " to " + view.host(path.to));
    path_mtu = std::min(path_mtu, path.path_mtu);
    expected = std::max(expected, path.expected);
  }
  return {
      .severity = Severity::error,
      .kind = "narrow-path",
      .hosts = {},
      .sites = {},
      .what = fmt::format("packets above {} bytes do not get through, and the interfaces have {} ({}; UDP "
                          "with \"do not fragment\")",
                          path_mtu, expected, some_of(pairs, 3)),
      .why =
          "small messages work and the first large one hangs, unless every router's ICMP reaches the "
          "sender",
      .advice = fmt::format("set the interfaces' MTU to {} at both ends (ip link set DEV mtu {}), or raise "
                            "it on the way; net.ipv4.tcp_mtu_probing = 1 helps meanwhile",
                            path_mtu, path_mtu)};
}

/// The host that all of these paths begin or end at, when they lead to several others.
std::optional<std::uint32_t> common_host(const std::vector<NarrowPath>& paths) {
  std::set<std::uint32_t> ends;
  for (const NarrowPath& path : paths)
    ends.insert({path.from, path.to});
  if (ends.size() < 3)
    return std::nullopt;
  for (const std::uint32_t host : ends) {
    if (std::all_of(paths.begin(), paths.end(),
                    [host](const NarrowPath& path) { return path.from == host || path.to == host; }))
      return host;
  }
  return std::nullopt;
}

/// One finding for a host behind a narrow port, else one for each pair of sites.
void find_narrow_paths(const DoctorInput& input, const SurveyView& view, std::vector<Finding>& found) {
  const std::vector<NarrowPath> narrow = narrow_paths(input, view);
  if (const auto host = common_host(narrow)) {
    Finding finding = narrow_finding(view, narrow);
    finding.hosts = {view.host(*host)};
    finding.sites = {view.site(view.site_of(*host))};
    finding.what = fmt::format("every path of {}: ", view.host(*host)) + finding.what;
    found.push_back(std::move(finding));
    return;
  }
  std::map<std::pair<SiteId, SiteId>, std::vector<NarrowPath>> by_sites;
  for (const NarrowPath& path : narrow) {
    const SiteId a = view.site_of(path.from);
    const SiteId b = view.site_of(path.to);
    by_sites[{std::min(a, b), std::max(a, b)}].push_back(path);
  }
  for (const auto& [sites, paths] : by_sites) {
    Finding finding = narrow_finding(view, paths);
    finding.sites = {view.site(sites.first), view.site(sites.second)};
    found.push_back(std::move(finding));
  }
}

/// By the interface that each host uses towards the others.
void find_unequal_mtus(const DoctorInput& input, const SurveyView& view, std::vector<Finding>& found) {
  std::map<std::uint32_t, std::set<std::string>> hosts_by_mtu;
  for (const PathReport& path : input.survey.paths) {
    if (interface_mtu(&path) > 0)
      hosts_by_mtu[interface_mtu(&path)].insert(view.host(path.from));
  }
  if (hosts_by_mtu.size() < 2)
    return;
  const auto most =
      std::max_element(hosts_by_mtu.begin(), hosts_by_mtu.end(),
                       [](const auto& a, const auto& b) { return a.second.size() < b.second.size(); });
  Finding finding{
      .severity = Severity::warning,
      .kind = "unequal-mtu",
      .hosts = {},
      .sites = {},
      .what = {},
      .why = "each pair of hosts works with the smaller one; what is between must not be smaller still",
      .advice = "give all interfaces of the training network one MTU"};
  std::vector<std::string> parts;
  for (const auto& [mtu, hosts] : hosts_by_mtu) {
    const std::vector<std::string> names(hosts.begin(), hosts.end());
    parts.push_back(fmt::format("{} on {}", mtu, some_of(names)));
    if (mtu != most->first)
      finding.hosts.insert(finding.hosts.end(), names.begin(), names.end());
  }
  finding.what = "interfaces have different MTUs: " + join(parts, "; ");
  found.push_back(std::move(finding));
}

}  // namespace

std::vector<Finding> path_findings(const DoctorInput& input) {
  const SurveyView view(input.plan, input.survey);
  const std::vector<SiteDirection> directions = site_directions(view, input.survey);
  std::vector<Finding> found;
  find_unreachable(view, directions, found);
  find_dead_addresses(input, view, found);
  find_narrow_paths(input, view, found);
  find_unequal_mtus(input, view, found);
  find_loss(view, directions, found);
  find_blocked_datagrams(input, view, found);
  return found;
}

}  // namespace lockstep::campaign
