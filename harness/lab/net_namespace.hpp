#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include <sys/types.h>

#include "harness/core/posix.hpp"

namespace lockstep::lab {

/// The calling thread is in the network namespace of a process while this lives; what it opens or starts
/// belongs there. Throws RunError.
class InNetworkOf {
 public:
  explicit InNetworkOf(pid_t process);
  InNetworkOf(const InNetworkOf&) = delete;
  InNetworkOf& operator=(const InNetworkOf&) = delete;
  ~InNetworkOf();

 private:
  UniqueFd own_;
};

/// Runs `ip -batch` over these lines, in the network namespace of `process`. Throws RunError with what ip
/// said.
void run_ip(pid_t process, const std::vector<std::string>& lines);

/// Makes a TUN device with virtio headers and TCP segmentation offload in the network namespace of `process`;
/// the descriptor is nonblocking. Throws RunError.
[[nodiscard]] UniqueFd open_tun(pid_t process, const std::string& name);

/// Writes settings such as net.ipv4.ip_forward in the network namespace of `process`. Throws RunError.
void write_sysctl(pid_t process, const std::map<std::string, std::string>& settings);

/// Packets that the kernel dropped at the devices of the network namespace of `process`, because a queue of
/// its own was full or nothing was there to take them. 0 when that process is gone, and its devices with it.
[[nodiscard]] std::uint64_t packets_dropped(pid_t process);

/// Switches interfaces of one network namespace on and off, at the price of one system call.
class InterfaceSwitch {
 public:
  InterfaceSwitch() = default;
  /// Throws RunError.
  explicit InterfaceSwitch(pid_t process);
  void set_up(const std::string& interface, bool up) const;

 private:
  UniqueFd socket_;
};

}  // namespace lockstep::lab
