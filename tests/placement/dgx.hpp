#pragma once

#include <string>

#include <fmt/format.h>

#include "harness/placement/host_map.hpp"
#include "harness/placement/read_host.hpp"

/// A host as GPU servers are built: two sockets of eight cores, one NUMA node each, four PCI switches a
/// socket with a GPU and a network card below each, and a card for management at a host bridge of its own on
/// socket 0.
namespace lockstep::placement {

constexpr int kSockets = 2;
constexpr int kCoresOfSocket = 8;
constexpr int kSwitchesOfSocket = 4;

/// Numbers objects, which hwloc wants unique.
class DgxXml {
 public:
  [[nodiscard]] std::string text() {
    std::string sockets;
    for (int socket = 0; socket < kSockets; ++socket)
      sockets += package(socket);
    return "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!DOCTYPE topology SYSTEM \"hwloc2.dtd\">\n"
           "<topology version=\"2.0\">\n" +
           open("Machine", "os_index=\"0\" allowed_cpuset=\"0x0000ffff\" allowed_nodeset=\"0x00000003\" " +
                               sets(0xffff, 0x3)) +
           sockets + "</object>\n</topology>\n";
  }

 private:
  static std::string sets(unsigned cpus, unsigned nodes) {
    return fmt::format(
        "cpuset=\"0x{:08x}\" complete_cpuset=\"0x{:08x}\" nodeset=\"0x{:08x}\" "
        "complete_nodeset=\"0x{:08x}\"",
        cpus, cpus, nodes, nodes);
  }
  std::string open(const std::string& type, const std::string& attributes) {
    return fmt::format("<object type=\"{}\" {} gp_index=\"{}\">\n", type, attributes, ++objects_);
  }
  std::string leaf(const std::string& type, const std::string& attributes) {
    return open(type, attributes) + "</object>\n";
  }
  std::string package(int socket) {
    const unsigned node = 1U << static_cast<unsigned>(socket);
    const unsigned cpus = 0xffU << static_cast<unsigned>(socket * kCoresOfSocket);
    std::string text = open("Package", fmt::format("os_index=\"{}\" {}", socket, sets(cpus, node)));
    text += leaf("NUMANode",
                 fmt::format("os_index=\"{}\" {} local_memory=\"1073741824\"", socket, sets(cpus, node)));
    for (int i = 0; i < kCoresOfSocket; ++i) {
      const int cpu = socket * kCoresOfSocket + i;
      const std::string own =
          fmt::format("os_index=\"{}\" {}", cpu, sets(1U << static_cast<unsigned>(cpu), node));
      text += open("Core", own) + leaf("PU", own) + "</object>\n";
    }
    for (int i = 0; i < kSwitchesOfSocket; ++i)
      text += pci_switch(socket * kSwitchesOfSocket + i);
    if (socket == 0)
      text += host_bridge(0x02) + device(0x03, "0200", "8086:1563", "eth0", 2) + "</object>\n";
    return text + "</object>\n";
  }
  std::string host_bridge(int bus) {
    return open("Bridge", fmt::format("bridge_type=\"0-1\" depth=\"0\" bridge_pci=\"0000:[{:02x}-{:02x}]\"",
                                      bus, bus + 7));
  }
  /// Buses 0x10, 0x20 ...: host bridge, then switch, then the two devices.
  std::string pci_switch(int number) {
    const int bus = 0x10 * (number + 1);
    return host_bridge(bus) +
           open("Bridge",
                fmt::format("bridge_type=\"1-1\" depth=\"1\" bridge_pci=\"0000:[{:02x}-{:02x}]\" "
                            "pci_busid=\"0000:{:02x}:00.0\" pci_type=\"0604 [1000:c030] [1000:c030] b0\" "
                            "pci_link_speed=\"63.0\"",
                            bus + 1, bus + 4, bus)) +
           device(bus + 2, "0302", "10de:2335", "", 0) +
           device(bus + 3, "0207", "15b3:1021", fmt::format("mlx5_{}", number), 3) + "</object>\n</object>\n";
  }
  /// `kind`: hwloc's number of an OS device's type, 2 a network interface, 3 an InfiniBand one.
  std::string device(int bus, const std::string& pci_class, const std::string& ids, const std::string& name,
                     int kind) {
    std::string text =
        open("PCIDev", fmt::format("pci_busid=\"0000:{:02x}:00.0\" pci_type=\"{} [{}] [{}] a1\" "
                                   "pci_link_speed=\"63.0\"",
                                   bus, pci_class, ids, ids));
    if (!name.empty())
      text += leaf("OSDev", fmt::format("name=\"{}\" osdev_type=\"{}\"", name, kind));
    return text + "</object>\n";
  }

  int objects_ = 0;
};

inline HostMap dgx() {
  return read_xml(DgxXml().text());
}
/// Bus id of the GPU below the i-th switch: 0-3 on socket 0, 4-7 on socket 1.
inline std::string dgx_gpu(int i) {
  return fmt::format("0000:{:02x}:00.0", 0x10 * (i + 1) + 2);
}

}  // namespace lockstep::placement
