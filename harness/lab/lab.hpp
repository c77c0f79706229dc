#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "harness/lab/event_log.hpp"
#include "harness/lab/host.hpp"
#include "harness/lab/lab_folder.hpp"
#include "harness/lab/link_text.hpp"
#include "harness/lab/net_namespace.hpp"
#include "harness/lab/relay.hpp"
#include "harness/lab/spec.hpp"

namespace lockstep::lab {

enum class HostState { running, frozen, dead };
[[nodiscard]] const char* to_string(HostState state);

/// Emulated campuses: every host a Host, every site a bridge and a router that leads to the relay. It lives
/// in one process and by it; use it from the thread that made it. Names that do not exist are InputErrors.
class Lab {
 public:
  /// Boots everything. `shared`: folders below /tmp that hosts shall see. Throws RunError.
  Lab(LabSpec spec, const LabFolder& folder, const std::vector<std::string>& shared);
  Lab(const Lab&) = delete;
  Lab& operator=(const Lab&) = delete;
  ~Lab();

  /// Changes a link's settings in both directions, or from `a` to `b` only; for `for_ns` when above 0.
  void change_link(const std::string& a, const std::string& b, bool one_way,
                   const std::vector<KeyValue>& changes, std::int64_t for_ns);
  /// No packet gets through any more; for `for_ns` when above 0.
  void cut(const std::string& a, const std::string& b, bool one_way, std::int64_t for_ns);
  /// Back to the specification: `hosts` and links between `sites`; all when both are empty.
  void heal(const std::vector<std::string>& names);
  void freeze(const std::string& host);
  void kill(const std::string& host);
  /// SIGKILL to every process on every host but its first.
  void clear() const;
  /// Ends what was asked `for` a time, once it is over. Returns when that is next the case; INT64_MAX: never.
  std::int64_t let_expire(std::int64_t now_ns);

  [[nodiscard]] const LabSpec& spec() const { return spec_; }
  /// Pid 1 of a host. Throws RunError when the host is frozen or dead: it does not answer.
  [[nodiscard]] pid_t init_of(const std::string& host) const;
  [[nodiscard]] nlohmann::ordered_json status() const;

 private:
  struct Machine {
    std::string name;
    std::size_t site = 0;
    std::size_t index = 0;  ///< within the site
    Host host;
    HostState state = HostState::running;
  };
  struct Site {
    Host router;
    InterfaceSwitch interfaces;
  };
  /// A change that ends by itself.
  struct Expiry {
    std::int64_t at_ns = 0;
    Direction direction;
    bool is_cut = false;
    LinkSettings before;  ///< what a change of settings goes back to
  };

  void write_hosts_file() const;
  void boot_site(std::size_t site);
  void boot_machine(Machine& machine);
  [[nodiscard]] std::unique_ptr<Relay> start_relay() const;
  [[nodiscard]] std::size_t machine_index(const std::string& name) const;
  [[nodiscard]] std::vector<Direction> directions(const std::string& a, const std::string& b,
                                                  bool one_way) const;
  void heal_machine(Machine& machine);
  void heal_link(Direction direction);
  void log_link(const char* event, Direction direction, EventLog::Fields fields) const;

  LabSpec spec_;
  const LabFolder& folder_;
  std::vector<std::string> shared_;
  EventLog log_;
  std::vector<Site> sites_;
  std::vector<Machine> machines_;
  std::unique_ptr<Relay> relay_;
  std::vector<Expiry> expiries_;
  std::int64_t begin_utc_ns_ = 0;
};

}  // namespace lockstep::lab
