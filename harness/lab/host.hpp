#pragma once

#include <string>
#include <vector>

#include <sys/types.h>

namespace lockstep::lab {

/// What a host is made with.
struct HostSettings {
  std::string name;                 ///< its host name
  std::string hosts_file;           ///< takes the place of /etc/hosts
  std::vector<std::string> shared;  ///< folders below /tmp or /dev/shm that it shares with this machine
};

/// An emulated host: network, UTS, mount, IPC and PID namespaces of its own, held by processes alone. Its
/// first process (pid 1 in there) ends when this process does, however that ends, and all others with it; so
/// nothing is left of a host whose maker is gone, not even a name.
///
/// /tmp and /dev/shm are its own; the rest of the file system is this machine's. That is what node-local
/// storage is on a cluster, and what keeps programs of two hosts from meeting each other's files there.
class Host {
 public:
  /// Boots it. Call it from the thread that lives as long as the lab. Throws RunError.
  static Host boot(const HostSettings& settings);
  /// A network namespace and nothing else, for what lies between hosts.
  static Host boot_router();

  Host(Host&& other) noexcept;
  Host& operator=(Host&& other) noexcept;
  ~Host();

  /// Its first process, as this machine sees it.
  [[nodiscard]] pid_t init() const { return init_; }
  [[nodiscard]] bool is_alive() const { return keeper_ > 0; }
  /// SIGKILL to everything in it at once, and the end of its namespaces. Waits for it.
  void kill() noexcept;
  /// Its processes but the first, as this machine sees them.
  [[nodiscard]] std::vector<pid_t> processes() const;
  /// Stops every process but the first, new ones included, until none runs; or lets them all go on.
  void stop_processes() const;
  void continue_processes() const;

 private:
  Host() = default;
  pid_t keeper_ = -1;  ///< child of this process; parent of init_
  pid_t init_ = -1;
};

}  // namespace lockstep::lab
