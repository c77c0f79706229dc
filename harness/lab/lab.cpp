#include "harness/lab/lab.hpp"

#include <algorithm>
#include <csignal>
#include <limits>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "harness/core/clock.hpp"
#include "harness/core/error.hpp"
#include "harness/core/posix.hpp"
#include "harness/core/text.hpp"
#include "harness/lab/quantity.hpp"

namespace lockstep::lab {
namespace {

constexpr const char* kBridge = "lan";
constexpr const char* kTun = "wan";
constexpr const char* kHostInterface = "eth0";
constexpr int kTunQueue = 5000;  // packets that wait for the relay: it is to be late rather than to lose
constexpr std::int64_t kEver = std::numeric_limits<std::int64_t>::max();

/// The router's end of a host's cable.
std::string port_of(std::size_t index) {
  return fmt::format("port{}", index + 1);
}

/// A host keeps its hardware address over a boot: its neighbours have it in their tables. Locally
/// administered.
std::string hardware_address(std::size_t site, std::size_t index) {
  return fmt::format("02:00:0a:{:02x}:00:{:02x}", site + 1, index + 1);
}

LinkSettings with_change(const LinkSettings& settings, const std::vector<KeyValue>& keys) {
  try {
    return lab::apply(settings, keys);
  } catch (const InputError&) {
    return settings;  // it made sense only above one that has ended: a queue without the rate that it was for
  }
}

/// Folders that a host must see although it has a /tmp and a /dev/shm of its own.
bool is_covered(const std::string& folder) {
  return folder.starts_with("/tmp/") || folder.starts_with("/dev/shm/");
}

[[noreturn]] void no_such(const char* kind, const std::string& name, const std::vector<std::string>& known) {
  const auto nearest = nearest_match(name, known);
  throw InputError({.what = fmt::format("the lab has no {} \"{}\"", kind, name),
                    .why = {},
                    .suggestion = nearest ? fmt::format("did you mean \"{}\"?", *nearest)
                                          : "there are " + join(known, ", "),
                    .file = {}});
}

nlohmann::ordered_json json_of(const LinkCounters& counters) {
  return {{"packets_offered", counters.packets_offered},
          {"bytes_offered", counters.bytes_offered},
          {"packets_delivered", counters.packets_delivered},
          {"bytes_delivered", counters.bytes_delivered},
          {"lost_at_random", counters.lost_at_random},
          {"lost_in_burst", counters.lost_in_burst},
          {"dropped_queue_full", counters.queue_full},
          {"dropped_link_down", counters.link_down},
          {"duplicated", counters.duplicated},
          {"corrupted", counters.corrupted},
          {"queue_high_water_bytes", counters.queue_high_water_bytes}};
}

}  // namespace

const char* to_string(HostState state) {
  switch (state) {
    case HostState::running:
      return "running";
    case HostState::frozen:
      return "frozen";
    case HostState::dead:
      return "dead";
  }
  return "";
}

Lab::Lab(LabSpec spec, const LabFolder& folder, const std::vector<std::string>& shared)
    : spec_(std::move(spec)),
      folder_(folder),
      shared_(shared),
      log_(folder.events()),
      begin_utc_ns_(utc_ns()) {
  for (std::size_t from = 0; from < spec_.sites.size(); ++from) {
    for (std::size_t to = 0; to < spec_.sites.size(); ++to)
      asked_.push_back({spec_.links[from][to], {}, 0});
  }
  if (is_covered(folder.path()))
    shared_.push_back(folder.path());
  write_hosts_file();
  for (std::size_t site = 0; site < spec_.sites.size(); ++site)
    boot_site(site);
  relay_ = start_relay();
  log_.write("up", {{"lab", folder_.name()}, {"spec", spec_.path}});
  for (std::size_t from = 0; from < spec_.sites.size(); ++from) {
    for (std::size_t to = 0; to < spec_.sites.size(); ++to) {
      if (from != to)
        log_link("link", {from, to}, {{"settings", describe(spec_.links[from][to])}});
    }
  }
}

Lab::~Lab() {
  relay_.reset();
  // All at once; each is then waited for in turn.
  for (const Machine& machine : machines_) {
    if (machine.host.is_alive())
      ::kill(machine.host.init(), SIGKILL);
  }
}

void Lab::write_hosts_file() const {
  std::string text = "127.0.0.1 localhost\n";
  for (std::size_t site = 0; site < spec_.sites.size(); ++site) {
    const auto& hosts = spec_.sites[site].hosts;
    for (std::size_t i = 0; i < hosts.size(); ++i)
      text += fmt::format("{} {}\n", address_of(site, i), hosts[i]);
  }
  write_text_file(folder_.hosts(), text);
}

void Lab::boot_site(std::size_t site) {
  Site made{Host::boot_router(), {}};
  const pid_t router = made.router.init();
  const std::uint32_t mtu = spec_.sites[site].mtu;
  write_sysctl(router, {{"net.ipv6.conf.all.disable_ipv6", "1"}, {"net.ipv4.ip_forward", "1"}});
  run_ip(router, {"link set lo up", fmt::format("link add name {} mtu {} type bridge", kBridge, mtu),
                  fmt::format("address add {}/16 dev {}", gateway_of(site), kBridge),
                  fmt::format("link set {} up", kBridge)});
  made.interfaces = InterfaceSwitch(router);
  sites_.push_back(std::move(made));
  const auto& hosts = spec_.sites[site].hosts;
  for (std::size_t i = 0; i < hosts.size(); ++i) {
    machines_.push_back(
        {hosts[i], site, i, Host::boot({hosts[i], folder_.hosts(), shared_}), HostState::running});
    boot_machine(machines_.back());
  }
}

void Lab::boot_machine(Machine& machine) {
  const LabSite& site = spec_.sites[machine.site];
  const pid_t router = sites_[machine.site].router.init();
  const pid_t init = machine.host.init();
  const std::string port = port_of(machine.index);
  run_ip(router, {fmt::format("link add name {} mtu {} type veth peer name {} address {} mtu {} netns {}",
                              port, site.mtu, kHostInterface, hardware_address(machine.site, machine.index),
                              site.mtu, init),
                  fmt::format("link set {} master {} up", port, kBridge)});
  std::map<std::string, std::string> settings{{"net.ipv6.conf.all.disable_ipv6", "1"}};
  settings.insert(site.sysctl.begin(), site.sysctl.end());
  write_sysctl(init, settings);
  run_ip(init,
         {"link set lo up",
          fmt::format("address add {}/16 dev {}", address_of(machine.site, machine.index), kHostInterface),
          fmt::format("link set {} up", kHostInterface),
          fmt::format("route add default via {}", gateway_of(machine.site))});
}

std::unique_ptr<Relay> Lab::start_relay() const {
  std::vector<UniqueFd> tuns;
  for (std::size_t site = 0; site < sites_.size(); ++site) {
    const pid_t router = sites_[site].router.init();
    tuns.push_back(open_tun(router, kTun));
    run_ip(router,
           {fmt::format("link set {} mtu {} txqueuelen {} up", kTun, spec_.sites[site].mtu, kTunQueue),
            fmt::format("route add 10.0.0.0/8 dev {}", kTun)});
  }
  return std::make_unique<Relay>(std::move(tuns), spec_.links, spec_.seed);
}

std::size_t Lab::machine_index(const std::string& name) const {
  const auto found =
      std::find_if(machines_.begin(), machines_.end(), [&name](const Machine& m) { return m.name == name; });
  if (found != machines_.end())
    return static_cast<std::size_t>(found - machines_.begin());
  std::vector<std::string> names;
  for (const Machine& machine : machines_)
    names.push_back(machine.name);
  no_such("host", name, names);
}

std::vector<Direction> Lab::directions(const std::string& a, const std::string& b, bool one_way) const {
  std::vector<std::string> names;
  for (const LabSite& site : spec_.sites)
    names.push_back(site.name);
  for (const std::string& name : {a, b}) {
    if (spec_.find_site(name) == spec_.sites.size())
      no_such("site", name, names);
  }
  const Direction there{spec_.find_site(a), spec_.find_site(b)};
  if (there.from == there.to)
    throw InputError({.what = fmt::format("\"{}\" and \"{}\" are one site", a, b),
                      .why = "a link lies between two",
                      .suggestion = {},
                      .file = {}});
  if (one_way)
    return {there};
  return {there, {there.to, there.from}};
}

void Lab::log_link(const char* event, Direction direction, EventLog::Fields fields) const {
  fields.insert(fields.begin(),
                {{"from", spec_.sites[direction.from].name}, {"to", spec_.sites[direction.to].name}});
  log_.write(event, fields);
}

void Lab::change_link(const std::string& a, const std::string& b, bool one_way,
                      const std::vector<KeyValue>& changes, std::int64_t for_ns) {
  const auto affected = directions(a, b, one_way);
  std::vector<LinkSettings> changed;
  changed.reserve(affected.size());
  for (const Direction direction : affected)
    changed.push_back(lab::apply(relay_->settings(direction), changes));  // all are good, or none is changed
  for (std::size_t i = 0; i < affected.size(); ++i) {
    relay_->change(affected[i], changed[i]);
    log_link("link", affected[i],
             {{"settings", describe(changed[i])}, {"for", for_ns > 0 ? duration_text(for_ns) : "ever"}});
    asked(affected[i]).changes.push_back({changes, for_ns > 0 ? monotonic_ns() + for_ns : kEver});
    static_cast<void>(settle(affected[i]));
  }
}

void Lab::cut(const std::string& a, const std::string& b, bool one_way, std::int64_t for_ns) {
  for (const Direction direction : directions(a, b, one_way)) {
    std::int64_t& until_ns = asked(direction).down_until_ns;
    until_ns = std::max(until_ns, for_ns > 0 ? monotonic_ns() + for_ns : kEver);
    relay_->cut(direction, until_ns);
    log_link("cut", direction, {{"for", for_ns > 0 ? duration_text(for_ns) : "ever"}});
  }
}

LinkSettings Lab::settle(Direction direction) {
  Asked& link = asked(direction);
  while (!link.changes.empty() && link.changes.front().until_ns == kEver) {
    link.base = with_change(link.base, link.changes.front().keys);
    link.changes.erase(link.changes.begin());
  }
  LinkSettings settings = link.base;
  for (const Change& change : link.changes)
    settings = with_change(settings, change.keys);
  return settings;
}

std::int64_t Lab::let_expire(std::int64_t now_ns) {
  std::int64_t next_ns = kEver;
  for (std::size_t i = 0; i < asked_.size(); ++i) {
    const Direction direction{i / spec_.sites.size(), i % spec_.sites.size()};
    Asked& link = asked_[i];
    bool is_over =
        std::erase_if(link.changes, [now_ns](const Change& c) { return c.until_ns <= now_ns; }) > 0;
    if (is_over)
      relay_->change(direction, settle(direction));
    if (link.down_until_ns != 0 && link.down_until_ns <= now_ns) {
      link.down_until_ns = 0;
      is_over = true;
    }
    if (is_over)
      log_link("restored", direction, {{"settings", describe(relay_->settings(direction))}});
    for (const Change& change : link.changes)
      next_ns = std::min(next_ns, change.until_ns);
    if (link.down_until_ns != 0)
      next_ns = std::min(next_ns, link.down_until_ns);
  }
  return next_ns;
}

void Lab::heal_link(Direction direction) {
  asked(direction) = {spec_.links[direction.from][direction.to], {}, 0};
  relay_->change(direction, spec_.links[direction.from][direction.to]);
  relay_->cut(direction, 0);
  log_link("healed", direction, {{"settings", describe(relay_->settings(direction))}});
}

void Lab::heal_machine(Machine& machine) {
  if (machine.state == HostState::running)
    return;
  if (machine.state == HostState::frozen) {
    sites_[machine.site].interfaces.set_up(port_of(machine.index), true);
    machine.host.continue_processes();
  } else {
    machine.host = Host::boot({machine.name, folder_.hosts(), shared_});
    try {
      boot_machine(machine);
    } catch (const RunError&) {
      unplug(machine);  // so that the next attempt finds what this one found
      machine.host.kill();
      throw;
    }
  }
  machine.state = HostState::running;
  log_.write("healed", {{"host", machine.name}});
}

void Lab::heal(const std::vector<std::string>& names) {
  std::vector<std::size_t> sites;
  std::vector<Machine*> machines;
  for (const std::string& name : names) {
    if (const std::size_t site = spec_.find_site(name); site < spec_.sites.size())
      sites.push_back(site);
    else
      machines.push_back(&machines_[machine_index(name)]);
  }
  const bool everything = names.empty();
  const auto has = [&sites](std::size_t site) {
    return std::find(sites.begin(), sites.end(), site) != sites.end();
  };
  for (std::size_t from = 0; from < spec_.sites.size(); ++from) {
    for (std::size_t to = 0; to < spec_.sites.size(); ++to) {
      // One site: all its links; several: those between them.
      const bool meant = sites.size() == 1 ? has(from) || has(to) : has(from) && has(to);
      if (from != to && (everything || meant))
        heal_link({from, to});
    }
  }
  for (Machine& machine : machines_) {
    if (everything || std::find(machines.begin(), machines.end(), &machine) != machines.end())
      heal_machine(machine);
  }
}

void Lab::freeze(const std::string& host) {
  Machine& machine = machines_[machine_index(host)];
  if (machine.state != HostState::running)
    throw InputError({.what = fmt::format("the host \"{}\" is {} already", host, to_string(machine.state)),
                      .why = {},
                      .suggestion = "lockstep lab heal brings it back",
                      .file = {}});
  // Its kernel would still acknowledge packets: a frozen machine does not.
  sites_[machine.site].interfaces.set_up(port_of(machine.index), false);
  machine.host.stop_processes();
  machine.state = HostState::frozen;
  log_.write("freeze", {{"host", host}});
}

void Lab::kill(const std::string& host) {
  Machine& machine = machines_[machine_index(host)];
  if (machine.state == HostState::dead)
    throw InputError({.what = fmt::format("the host \"{}\" is dead already", host),
                      .why = {},
                      .suggestion = "lockstep lab heal brings it back",
                      .file = {}});
  // No farewell either: a host that loses power closes no connection.
  sites_[machine.site].interfaces.set_up(port_of(machine.index), false);
  machine.host.kill();
  machine.state = HostState::dead;
  unplug(machine);
  log_.write("kill", {{"host", host}});
}

void Lab::unplug(const Machine& machine) const {
  try {
    // The kernel takes the cable of a host that has ended away too, but later: the host could not be booted
    // again at once.
    run_ip(sites_[machine.site].router.init(), {"link delete " + port_of(machine.index)});
  } catch (const RunError&) {
    // It was quicker.
  }
}

void Lab::clear() const {
  for (const Machine& machine : machines_) {
    for (const pid_t process : machine.host.processes())
      ::kill(process, SIGKILL);
  }
}

pid_t Lab::init_of(const std::string& host) const {
  const Machine& machine = machines_[machine_index(host)];
  if (machine.state != HostState::running)
    throw RunError({.what = fmt::format("the host {} does not answer", host),
                    .why = fmt::format("it is {}", to_string(machine.state)),
                    .suggestion = "lockstep lab heal brings it back",
                    .file = {}});
  return machine.host.init();
}

nlohmann::ordered_json Lab::status() const {
  nlohmann::ordered_json json;
  json["lab"] = folder_.name();
  json["spec"] = spec_.path;
  json["description"] = spec_.description;
  json["up_since"] = format_utc(begin_utc_ns_);
  json["pid"] = ::getpid();
  json["folder"] = folder_.path();
  json["hosts"] = nlohmann::ordered_json::array();
  for (const Machine& machine : machines_) {
    json["hosts"].push_back({{"name", machine.name},
                             {"site", spec_.sites[machine.site].name},
                             {"address", address_of(machine.site, machine.index)},
                             {"state", to_string(machine.state)},
                             {"processes", machine.host.processes().size()}});
  }
  json["links"] = nlohmann::ordered_json::array();
  for (std::size_t from = 0; from < spec_.sites.size(); ++from) {
    for (std::size_t to = 0; to < spec_.sites.size(); ++to) {
      if (from == to)
        continue;
      json["links"].push_back({{"from", spec_.sites[from].name},
                               {"to", spec_.sites[to].name},
                               {"settings", describe(relay_->settings({from, to}))},
                               {"is_down", relay_->is_down({from, to})},
                               {"counters", json_of(relay_->counters({from, to}))}});
    }
  }
  const RelayCounters own = relay_->own_counters();
  std::uint64_t kernel_dropped = 0;
  for (const Site& site : sites_)
    kernel_dropped += packets_dropped(site.router.init());
  for (const Machine& machine : machines_) {
    if (machine.host.is_alive())
      kernel_dropped += packets_dropped(machine.host.init());
  }
  json["relay"] = {{"scheduling", relay_->scheduling()},
                   {"kernel_dropped", kernel_dropped},
                   {"unroutable", own.unroutable},
                   {"refused", own.refused},
                   {"overflowed", own.overflowed},
                   {"late_over_1ms", own.late},
                   {"worst_late_us", own.worst_late_ns / 1000}};
  return json;
}

}  // namespace lockstep::lab
