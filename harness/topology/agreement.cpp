#include "harness/topology/agreement.hpp"

#include <algorithm>
#include <map>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "harness/core/error.hpp"
#include "harness/core/text.hpp"
#include "harness/plan/sites.hpp"

namespace lockstep::topology {
namespace {

constexpr std::size_t kHostsInMessage = 8;  // a line that names a thousand hosts names none
constexpr std::size_t kHashDigits = 12;

/// World ranks by something that they have in common, in order of first appearance.
struct Class {
  std::string key;
  std::vector<const RankCard*> cards;
};

template <class Key>
std::vector<Class> classify(std::span<const RankCard> cards, Key key) {
  std::vector<Class> classes;
  std::map<std::string, std::size_t> index;
  for (const RankCard& card : cards) {
    const std::string value = key(card);
    const auto [found, is_new] = index.try_emplace(value, classes.size());
    if (is_new)
      classes.push_back({value, {}});
    classes[found->second].cards.push_back(&card);
  }
  return classes;
}

/// `host a (ranks 0-3), host b (rank 4)`
std::string hosts_and_ranks(const std::vector<const RankCard*>& cards) {
  std::vector<std::string> hosts;
  std::map<std::string, std::vector<std::uint32_t>> ranks;
  for (const RankCard* card : cards) {
    std::vector<std::uint32_t>& of_host = ranks[card->host];
    if (of_host.empty())
      hosts.push_back(card->host);
    of_host.push_back(card->world_rank);
  }
  std::vector<std::string> parts;
  for (const std::string& host : hosts) {
    if (parts.size() == kHostsInMessage) {
      parts.push_back(fmt::format("{} more hosts", hosts.size() - kHostsInMessage));
      break;
    }
    std::vector<std::uint32_t>& of_host = ranks[host];
    std::sort(of_host.begin(), of_host.end());
    parts.push_back(
        fmt::format("host {} (rank{} {})", host, of_host.size() > 1 ? "s" : "", format_ranges(of_host)));
  }
  return join(parts, ", ");
}

template <class Key>
void require_one(std::span<const RankCard> cards, Key key, const std::string& what,
                 const std::string& suggestion) {
  const std::vector<Class> classes = classify(cards, key);
  if (classes.size() <= 1)
    return;
  std::vector<std::string> parts;
  parts.reserve(classes.size());
  for (const Class& one : classes)
    parts.push_back(fmt::format("{} on {}", one.key, hosts_and_ranks(one.cards)));
  throw InputError({.what = what, .why = join(parts, "; "), .suggestion = suggestion, .file = {}});
}

std::string short_hash(const std::string& hash) {
  return "sha256 " + hash.substr(0, kHashDigits);
}

std::string declared_hosts(const plan::Plan& plan) {
  std::vector<std::string> parts;
  for (const plan::Site& site : plan.sites)
    parts.push_back(
        fmt::format("site '{}': {}", site.name, site.hosts.empty() ? "none" : join(site.hosts, ", ")));
  return join(parts, "; ");
}

void require_sites(const plan::Plan& plan, std::span<const RankCard> cards) {
  const auto troubled =
      std::find_if(cards.begin(), cards.end(), [](const RankCard& card) { return !card.problem.empty(); });
  if (troubled != cards.end()) {
    std::vector<const RankCard*> same;
    for (const RankCard& card : cards) {
      if (card.problem == troubled->problem)
        same.push_back(&card);
    }
    throw InputError({.what = troubled->problem,
                      .why = "found on " + hosts_and_ranks(same),
                      .suggestion = {},
                      .file = {}});
  }
  std::vector<const RankCard*> homeless;
  for (const RankCard& card : cards) {
    if (card.site.empty())
      homeless.push_back(&card);
  }
  if (homeless.empty())
    return;
  const std::vector<std::string>& addresses = homeless.front()->addresses;
  throw InputError(
      {.what = fmt::format("{} belong{} to no site of the plan", hosts_and_ranks(homeless),
                           homeless.size() == 1 ? "s" : ""),
       .why = fmt::format("addresses of {}: {}; hosts of {}", homeless.front()->host,
                          addresses.empty() ? "none" : join(addresses, ", "), declared_hosts(plan)),
       .suggestion = "add the host to its site in the plan, or set LOCKSTEP_SITE on it",
       .file = plan.path});
}

void require_sites_of_leg(const plan::Plan& plan, const plan::Leg& leg, std::span<const RankCard> cards) {
  std::vector<std::string> names;
  for (const SiteId site : leg.sites)
    names.push_back(plan.sites[site.value()].name);
  std::vector<const RankCard*> strangers;
  for (const RankCard& card : cards) {
    if (std::find(names.begin(), names.end(), card.site) == names.end())
      strangers.push_back(&card);
  }
  if (strangers.empty())
    return;
  throw InputError({.what = fmt::format("{} of site '{}' take part in leg '{}'", hosts_and_ranks(strangers),
                                        strangers.front()->site, leg.name),
                    .why = "that leg runs on " + join(names, ", "),
                    .suggestion = "launch the leg on its own sites' hosts, or choose another leg",
                    .file = plan.path});
}

struct SiteCount {
  const plan::Site* site = nullptr;
  std::uint32_t ranks = 0;
  std::optional<std::uint32_t> declared;
};

std::vector<SiteCount> count_sites(const plan::Plan& plan, const plan::Leg& leg,
                                   std::span<const RankCard> cards,
                                   std::span<const std::uint32_t> ranks_per_site) {
  std::vector<SiteCount> counts;
  for (const SiteId id : leg.sites) {
    const std::size_t place = counts.size();
    const plan::Site& site = plan.sites[id.value()];
    const auto ranks = std::count_if(cards.begin(), cards.end(),
                                     [&](const RankCard& card) { return card.site == site.name; });
    counts.push_back({&site, static_cast<std::uint32_t>(ranks),
                      place < ranks_per_site.size() ? std::optional(ranks_per_site[place])
                                                    : plan::declared_ranks(plan, id)});
  }
  return counts;
}

[[noreturn]] void refuse_count(const plan::Plan& plan, const plan::Leg& leg, const std::string& what,
                               const std::string& why) {
  const auto declared = plan::declared_ranks(plan, leg);
  throw InputError(
      {.what = what,
       .why = why,
       .suggestion = declared ? fmt::format("launch leg '{}' with {} ranks (mpirun -np {}) over the sites' "
                                            "hosts, or correct `slots` in the plan",
                                            leg.name, *declared, *declared)
                              : "name hosts of every site of the leg in the hostfile",
       .file = plan.path});
}

void require_counts(const plan::Plan& plan, const plan::Leg& leg, std::span<const RankCard> cards,
                    std::span<const std::uint32_t> ranks_per_site) {
  const std::vector<SiteCount> counts = count_sites(plan, leg, cards, ranks_per_site);
  std::vector<std::string> parts;
  bool any_fewer = false;
  bool any_more = false;
  for (const SiteCount& count : counts) {
    if (count.ranks == 0)
      refuse_count(plan, leg, fmt::format("site '{}' of leg '{}' has no rank", count.site->name, leg.name),
                   fmt::format("{} ranks were launched, none on its hosts", cards.size()));
    if (!count.declared)
      continue;
    parts.push_back(fmt::format("site '{}' has {} of {}", count.site->name, count.ranks, *count.declared));
    any_fewer = any_fewer || count.ranks < *count.declared;
    any_more = any_more || count.ranks > *count.declared;
  }
  if (any_fewer)
    refuse_count(plan, leg, fmt::format("leg '{}' got fewer slots than asked", leg.name), join(parts, ", "));
  if (any_more)
    refuse_count(plan, leg, fmt::format("leg '{}' got more ranks than its sites have slots", leg.name),
                 join(parts, ", "));
  const std::uint32_t width = plan.workload.tensor_parallel;
  for (const SiteCount& count : counts) {
    if (width > 1 && count.ranks % width != 0) {
      throw InputError(
          {.what = fmt::format("the {} ranks of site '{}' do not divide into tensor-parallel groups of {}",
                               count.ranks, count.site->name, width),
           .why = "such a group never leaves its site",
           .suggestion = "choose a workload.tensor_parallel that divides the ranks of every site",
           .file = plan.path});
    }
  }
}

/// Colocated ranks beyond the declared slots have no site, which is no fault of their host.
void require_colocated_count(const plan::Plan& plan, const plan::Leg& leg, std::span<const RankCard> cards) {
  const auto declared = plan::declared_ranks(plan, leg);
  if (plan.placement != plan::Placement::colocated || !declared || *declared == cards.size())
    return;
  refuse_count(plan, leg,
               fmt::format("leg '{}' got {}", leg.name,
                           cards.size() < *declared ? "fewer slots than asked"
                                                    : "more ranks than its sites have slots"),
               fmt::format("{} ranks were launched, its sites declare {}", cards.size(), *declared));
}

}  // namespace

void check_agreement(const plan::Plan& plan, const plan::Leg& leg, std::span<const RankCard> cards,
                     std::span<const std::uint32_t> ranks_per_site) {
  require_one(
      cards, [](const RankCard& card) { return short_hash(card.binary_hash); },
      "the ranks run different binaries", "install one build on every host");
  require_one(
      cards, [](const RankCard& card) { return short_hash(card.plan_hash); },
      "the ranks read different plans", "copy one plan to every host, and give every rank the same --set");
  require_one(
      cards, [](const RankCard& card) { return "leg '" + card.leg + "'"; }, "the ranks run different legs",
      "start all ranks with the same leg");
  require_colocated_count(plan, leg, cards);
  require_sites(plan, cards);
  require_sites_of_leg(plan, leg, cards);
  require_counts(plan, leg, cards, ranks_per_site);
}

}  // namespace lockstep::topology
