#include <algorithm>
#include <optional>
#include <unordered_map>
#include <vector>

#include <fmt/format.h>

#include "harness/core/error.hpp"
#include "harness/plan/check.hpp"
#include "harness/plan/hosts.hpp"

namespace lockstep::plan {
namespace {

/// An entry and the site that it was written for.
struct OwnedEntry {
  std::size_t site = 0;
  const char* key = "hosts";  ///< or spares
  HostEntry entry;
};

Place place_of_entry(const Draft& draft, const OwnedEntry& owned) {
  return draft.place(fmt::format("site.{}.{}.{}", owned.site, owned.key, owned.entry.declared_index));
}

[[noreturn]] void refuse_twice(const Draft& draft, const OwnedEntry& first, const OwnedEntry& second) {
  const auto& sites = draft.plan.sites;
  const std::string what =
      first.entry.text == second.entry.text
          ? fmt::format("host '{}'", second.entry.text)
          : fmt::format("hosts '{}' and '{}' overlap, so a host", first.entry.text, second.entry.text);
  const Place place = place_of_entry(draft, second);
  if (first.site == second.site)
    throw InputError(problem_at(place,
                                fmt::format("{} is named twice in site '{}'", what, sites[second.site].name),
                                "its slots would count twice", "remove one of the two"));
  throw InputError(problem_at(
      place,
      fmt::format("{} is in two sites: '{}' and '{}'", what, sites[first.site].name, sites[second.site].name),
      "a rank there could not tell its site", "name it in one site only"));
}

void collect(const Draft& draft, std::size_t site, const char* key, const std::vector<std::string>& written,
             std::vector<OwnedEntry>& owned) {
  for (std::size_t i = 0; i < written.size(); ++i) {
    try {
      for (HostEntry& entry : parse_host(written[i], i))
        owned.push_back({site, key, std::move(entry)});
    } catch (const InputError& error) {
      Problem problem = error.problem();
      const Place place = draft.place(fmt::format("site.{}.{}.{}", site, key, i));
      problem.file = place.file;
      problem.line = place.line;
      throw InputError(problem);
    }
  }
}

std::vector<OwnedEntry> collect(const Draft& draft) {
  std::vector<OwnedEntry> owned;
  const auto& sites = draft.plan.sites;
  for (std::size_t site = 0; site < sites.size(); ++site) {
    collect(draft, site, "hosts", sites[site].hosts, owned);
    collect(draft, site, "spares", sites[site].spares, owned);
  }
  return owned;
}

void check_names(const Draft& draft, const std::vector<OwnedEntry>& owned) {
  // Only names with the same first label can be one host.
  std::unordered_map<std::string, std::vector<const OwnedEntry*>> by_short_name;
  for (const OwnedEntry& candidate : owned) {
    if (candidate.entry.network)
      continue;
    auto& others = by_short_name[std::string(short_name(candidate.entry.text))];
    for (const OwnedEntry* other : others) {
      if (may_be_same_host(other->entry.text, candidate.entry.text))
        refuse_twice(draft, *other, candidate);
    }
    others.push_back(&candidate);
  }
}

void check_networks(const Draft& draft, const std::vector<OwnedEntry>& owned) {
  std::vector<const OwnedEntry*> networks;
  for (const OwnedEntry& candidate : owned) {
    if (candidate.entry.network)
      networks.push_back(&candidate);
  }
  // Networks nest or are disjoint. Sorted by family, address and prefix, one that holds any other holds its
  // successor.
  std::stable_sort(networks.begin(), networks.end(), [](const OwnedEntry* a, const OwnedEntry* b) {
    return *a->entry.network < *b->entry.network;
  });
  for (std::size_t i = 1; i < networks.size(); ++i) {
    const OwnedEntry* first = networks[i - 1];
    const OwnedEntry* second = networks[i];
    if (!contains(*first->entry.network, *second->entry.network))
      continue;
    if (first->site > second->site ||
        (first->site == second->site && first->entry.declared_index > second->entry.declared_index))
      std::swap(first, second);
    refuse_twice(draft, *first, *second);
  }
}

}  // namespace

void check_hosts(const Draft& draft) {
  const auto& sites = draft.plan.sites;
  for (std::size_t i = 0; i < sites.size(); ++i) {
    const std::string path = fmt::format("site.{}.hosts", i);
    if (draft.plan.placement == Placement::colocated) {
      if (!sites[i].spares.empty())
        throw InputError(problem_at(draft.place(fmt::format("site.{}.spares", i)),
                                    fmt::format("site '{}' has spares", sites[i].name),
                                    "placement = \"colocated\" puts every site on the machine that launches",
                                    "remove spares, or set placement = \"by_host\""));
      if (!sites[i].hosts.empty())
        throw InputError(problem_at(draft.place(path), fmt::format("site '{}' has hosts", sites[i].name),
                                    "placement = \"colocated\" puts every site on the machine that launches",
                                    "remove hosts, or set placement = \"by_host\""));
    } else if (sites[i].hosts.empty()) {
      throw InputError(
          problem_at(draft.place(path), fmt::format("site '{}' has no hosts", sites[i].name),
                     "placement = \"by_host\" finds a rank's site by its host",
                     "add hosts = [\"...\"], or set placement = \"colocated\" to try it on one machine"));
    }
  }
  const std::vector<OwnedEntry> owned = collect(draft);
  constexpr std::size_t kMostHosts = 1'000'000;
  if (owned.size() > kMostHosts)
    throw InputError(problem_at(draft.place("site"), fmt::format("the sites name {} hosts", owned.size()),
                                "more than 1000000 is taken for a slip", "check the numbers in brackets"));
  check_names(draft, owned);
  check_networks(draft, owned);
}

}  // namespace lockstep::plan
