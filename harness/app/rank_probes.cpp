#include "harness/app/rank_probes.hpp"

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdlib>
#include <map>
#include <numeric>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "harness/campaign/survey_schedule.hpp"
#include "harness/core/error.hpp"
#include "harness/core/hash.hpp"
#include "harness/core/log.hpp"
#include "harness/core/text.hpp"
#include "harness/mpi/collect.hpp"
#include "harness/watch/interfaces.hpp"

namespace lockstep::app {
namespace {

/// About 18 hours with one other site; further rows are dropped and counted.
constexpr std::uint32_t kMostRows = 65536;

/// Lowest ranks of the sites, in the leg's order.
std::vector<std::uint32_t> speakers(const topology::LegTopology& topology) {
  const std::vector<std::uint32_t>& ranks = topology.order.ranks_per_site;
  std::vector<std::uint32_t> first(ranks.size(), 0);
  std::partial_sum(ranks.begin(), ranks.end() - 1, first.begin() + 1);
  return first;
}

bool speaks(const plan::Plan& plan, const topology::LegTopology& topology) {
  const std::vector<std::uint32_t> all = speakers(topology);
  return plan.probes.per_second > 0.0 && all.size() > 1 &&
         std::find(all.begin(), all.end(), topology.self.value()) != all.end();
}

/// As mpirun and the user set it for the ranks; else as the plan says.
std::map<std::string, std::string> transport_settings(const plan::Plan& plan) {
  std::map<std::string, std::string> settings = plan.mpi.mca;
  for (const std::string name : {"btl_tcp_if_include", "btl_tcp_if_exclude"}) {
    if (const char* value = std::getenv(("OMPI_MCA_" + name).c_str()))
      settings[name] = value;
  }
  return settings;
}

/// `PORT ADDRESS ...`; empty when this rank does not answer.
std::string introduce(const plan::Plan& plan, const watch::BoundSocket& socket) {
  std::vector<std::string> words{std::to_string(socket.port)};
  for (std::string& address :
       campaign::transport_addresses(watch::interface_addresses(), transport_settings(plan)))
    words.push_back(std::move(address));
  if (words.size() == 1)
    words.emplace_back("127.0.0.1");  // a machine without a network runs all sites
  return join(words, " ");
}

std::optional<watch::ProbePeer> peer_of(std::uint32_t rank, const std::string& introduction) {
  std::vector<std::string> words = split(introduction, ' ');
  watch::ProbePeer peer;
  peer.rank = rank;
  const auto [end, error] =
      std::from_chars(words.front().data(), words.front().data() + words.front().size(), peer.port);
  if (error != std::errc{} || words.size() < 2)
    return std::nullopt;
  peer.addresses.assign(words.begin() + 1, words.end());
  return peer;
}

}  // namespace

std::uint32_t probe_rows(const plan::Plan& plan, const topology::LegTopology& topology) {
  return speaks(plan, topology) ? kMostRows : 0;
}

std::unique_ptr<watch::SiteProbes> start_probes(const plan::Plan& plan, const topology::LegTopology& topology,
                                                std::uint32_t leg, record::Journal& journal,
                                                double deadline_s) {
  if (plan.probes.per_second <= 0.0 || topology.order.ranks_per_site.size() < 2)
    return nullptr;
  watch::BoundSocket socket;
  std::string own;
  if (speaks(plan, topology)) {
    try {
      socket = watch::bind_udp();
      own = introduce(plan, socket);
    } catch (const RunError& error) {
      log_warning(std::string("no probes from this rank: ") + error.what());
    }
  }
  const std::vector<std::string> all = mpi::all_gather_strings(topology.leg, own, deadline_s);
  if (own.empty())
    return nullptr;
  std::vector<watch::ProbePeer> peers;
  std::uint64_t token = 1;
  for (const std::uint32_t rank : speakers(topology)) {
    // Boot and process tell two launches apart that got the same ports.
    const topology::RankCard& card = topology.cards[rank];
    token = checksum64(std::as_bytes(std::span(all[rank])), token);
    token = checksum64(std::as_bytes(std::span(card.boot_id)),
                       mix64(token + static_cast<std::uint64_t>(card.pid)));
    const auto peer = rank == topology.self.value() ? std::nullopt : peer_of(rank, all[rank]);
    if (peer)
      peers.push_back(*peer);
  }
  return std::make_unique<watch::SiteProbes>(
      std::move(socket),
      watch::SiteProbes::Options{
          .self = topology.self.value(), .token = token, .per_second = plan.probes.per_second},
      std::move(peers), [leg, &journal](record::ProbeRow row) {
        row.leg = leg;
        journal.add_probe(row);
      });
}

}  // namespace lockstep::app
