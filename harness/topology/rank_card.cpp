#include "harness/topology/rank_card.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>

#include <arpa/inet.h>
#include <fmt/format.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include "harness/core/error.hpp"
#include "harness/core/hash.hpp"
#include "harness/core/posix.hpp"
#include "harness/core/text.hpp"
#include "harness/mpi/collect.hpp"
#include "harness/plan/sites.hpp"

namespace lockstep::topology {
namespace {

std::string host_name() {
  std::array<char, 256> name{};
  if (gethostname(name.data(), name.size() - 1) != 0)
    return short_host_name();
  return name.data();
}

std::optional<std::string> numeric_address(const sockaddr& address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  // Copied, since the bytes behind a sockaddr are not aligned for the types that they hold.
  if (address.sa_family == AF_INET) {
    sockaddr_in v4{};
    std::memcpy(&v4, &address, sizeof v4);
    if (inet_ntop(AF_INET, &v4.sin_addr, text.data(), text.size()) == nullptr)
      return std::nullopt;
    return text.data();
  }
  if (address.sa_family == AF_INET6) {
    sockaddr_in6 v6{};
    std::memcpy(&v6, &address, sizeof v6);
    // Every host has the same link-local network: it tells nothing about a site.
    if (IN6_IS_ADDR_LINKLOCAL(&v6.sin6_addr))
      return std::nullopt;
    if (inet_ntop(AF_INET6, &v6.sin6_addr, text.data(), text.size()) == nullptr)
      return std::nullopt;
    return text.data();
  }
  return std::nullopt;
}

std::vector<std::string> interface_addresses() {
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0)
    return {};
  const std::unique_ptr<ifaddrs, decltype(&freeifaddrs)> owner(list, freeifaddrs);
  std::vector<std::string> found;
  for (const ifaddrs* entry = list; entry != nullptr; entry = entry->ifa_next) {
    if (entry->ifa_addr == nullptr || (entry->ifa_flags & IFF_LOOPBACK) != 0)
      continue;
    if (auto text = numeric_address(*entry->ifa_addr))
      found.push_back(std::move(*text));
  }
  return found;
}

/// A time namespace shifts CLOCK_MONOTONIC, so a boot alone does not make two clocks one.
std::string clock_domain_of(const std::string& boot, const std::string& host) {
  if (boot.empty())
    return fmt::format("unknown/{}/{}", host, getpid());
  std::array<char, 64> name{};
  const ssize_t length = readlink("/proc/self/ns/time", name.data(), name.size() - 1);
  return length > 0 ? boot + "/" + name.data() : boot;
}

std::string usable_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) != 0)
    return {};
  std::vector<std::uint32_t> cores;
  for (std::uint32_t cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &set))
      cores.push_back(cpu);
  }
  return format_ranges(cores);
}

struct SiteAnswer {
  std::string site;
  std::string problem;
};

SiteAnswer site_by_name(const plan::Plan& plan, const std::string& name) {
  std::vector<std::string> names;
  for (const plan::Site& site : plan.sites) {
    if (site.name == name)
      return {name, {}};
    names.push_back(site.name);
  }
  std::string problem =
      fmt::format("LOCKSTEP_SITE is '{}', which is no site of the plan (it has {})", name, join(names, ", "));
  if (const auto nearest = nearest_match(name, names))
    problem += fmt::format("; did you mean '{}'?", *nearest);
  return {{}, problem};
}

SiteAnswer site_by_order(const plan::Plan& plan, const plan::Leg& leg, std::uint32_t world_rank) {
  std::uint32_t first = 0;
  for (const SiteId id : leg.sites) {
    const plan::Site& site = plan.sites[id.value()];
    first += site.slots;
    if (world_rank < first)
      return {site.name, {}};
  }
  return {};  // more ranks than slots: the count is checked by all ranks together
}

SiteAnswer find_own_site(const plan::Plan& plan, const plan::Leg& leg, const RankCard& card) {
  const char* const named = std::getenv("LOCKSTEP_SITE");
  if (named != nullptr && *named != '\0')
    return site_by_name(plan, named);
  if (plan.placement == plan::Placement::colocated)
    return site_by_order(plan, leg, card.world_rank);
  try {
    const auto found = plan::find_site(plan, {card.host, card.addresses});
    return {found ? plan.sites[found->value()].name : std::string(), {}};
  } catch (const InputError& error) {
    return {{}, error.what()};
  }
}

/// Texts one after the other, each behind its length.
class Packer {
 public:
  void add(std::string_view text) { packed_ += fmt::format("{}:{}", text.size(), text); }
  void add(std::uint64_t number) { add(fmt::format("{}", number)); }
  [[nodiscard]] std::string take() { return std::move(packed_); }

 private:
  std::string packed_;
};

class Unpacker {
 public:
  explicit Unpacker(std::string_view packed) : rest_(packed) {}
  std::string text() {
    const std::size_t colon = rest_.find(':');
    if (colon == std::string_view::npos)
      fail();
    const std::uint64_t length = to_number(rest_.substr(0, colon));
    rest_.remove_prefix(colon + 1);
    if (length > rest_.size())
      fail();
    std::string text(rest_.substr(0, length));
    rest_.remove_prefix(length);
    return text;
  }
  std::uint64_t number() { return to_number(text()); }
  void expect_end() const {
    if (!rest_.empty())
      fail();
  }

 private:
  static std::uint64_t to_number(std::string_view digits) {
    if (digits.empty() || digits.size() > 19 ||
        digits.find_first_not_of("0123456789") != std::string_view::npos)
      fail();
    return std::stoull(std::string(digits));
  }
  [[noreturn]] static void fail() {
    throw RunError({.what = "a rank introduced itself in a way that cannot be read",
                    .why = "ranks seem to run different versions of the program",
                    .suggestion = "install one version on every host",
                    .file = {}});
  }
  std::string_view rest_;
};

}  // namespace

std::string format_ranges(const std::vector<std::uint32_t>& numbers) {
  std::string text;
  for (std::size_t i = 0; i < numbers.size();) {
    std::size_t last = i;
    while (last + 1 < numbers.size() && numbers[last + 1] == numbers[last] + 1)
      ++last;
    text += fmt::format("{}{}", text.empty() ? "" : ",", numbers[i]);
    if (last > i)
      text += fmt::format("-{}", numbers[last]);
    i = last + 1;
  }
  return text;
}

RankCard make_rank_card(const plan::Plan& plan, const plan::Leg& leg, std::uint32_t world_rank) {
  RankCard card;
  card.world_rank = world_rank;
  card.host = host_name();
  card.addresses = interface_addresses();
  card.boot_id = boot_id();
  card.clock_domain = clock_domain_of(card.boot_id, card.host);
  card.pid = getpid();
  card.cores = usable_cores();
  card.binary_hash = sha256_file("/proc/self/exe");
  card.plan_hash = sha256(plan.text);
  card.leg = leg.name;
  SiteAnswer answer = find_own_site(plan, leg, card);
  card.site = std::move(answer.site);
  card.problem = std::move(answer.problem);
  return card;
}

std::string encode(const RankCard& card) {
  Packer packer;
  packer.add(card.world_rank);
  packer.add(card.host);
  packer.add(card.addresses.size());
  for (const std::string& address : card.addresses)
    packer.add(address);
  packer.add(card.boot_id);
  packer.add(card.clock_domain);
  packer.add(static_cast<std::uint64_t>(card.pid));
  packer.add(card.cores);
  packer.add(card.binary_hash);
  packer.add(card.plan_hash);
  packer.add(card.leg);
  packer.add(card.site);
  packer.add(card.problem);
  return packer.take();
}

RankCard decode_rank_card(std::string_view text) {
  Unpacker unpacker(text);
  RankCard card;
  card.world_rank = static_cast<std::uint32_t>(unpacker.number());
  card.host = unpacker.text();
  const std::uint64_t addresses = unpacker.number();
  for (std::uint64_t i = 0; i < addresses; ++i)
    card.addresses.push_back(unpacker.text());
  card.boot_id = unpacker.text();
  card.clock_domain = unpacker.text();
  card.pid = static_cast<std::int64_t>(unpacker.number());
  card.cores = unpacker.text();
  card.binary_hash = unpacker.text();
  card.plan_hash = unpacker.text();
  card.leg = unpacker.text();
  card.site = unpacker.text();
  card.problem = unpacker.text();
  unpacker.expect_end();
  return card;
}

std::vector<RankCard> exchange_cards(const mpi::Communicator& world, const RankCard& own, double deadline_s) {
  std::vector<RankCard> cards;
  for (const std::string& text : mpi::all_gather_strings(world, encode(own), deadline_s))
    cards.push_back(decode_rank_card(text));
  return cards;
}

}  // namespace lockstep::topology
