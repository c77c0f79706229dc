#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "harness/core/cpu_set.hpp"

/// Where the parts of a host are: sockets, NUMA nodes, GPUs and network cards, and which GPU a rank takes.
/// Below MPI, so that both ranks and the controller, which does not link MPI, can ask.
namespace lockstep::placement {

/// A socket or a NUMA node, by the number that the operating system gives it.
struct CpuGroup {
  std::uint32_t number = 0;
  CpuSet cpus;
  bool operator==(const CpuGroup&) const = default;
};

/// How far it is from a GPU to a network card, nearest first. The order of hwloc's tree; the names that
/// `nvidia-smi topo -m` uses for the same are PIX or PXB, PHB, NODE and SYS.
enum class Nearness : std::uint8_t {
  same_switch,    ///< below one PCI switch
  same_bridge,    ///< below one host bridge
  same_node,      ///< at one NUMA node, or in one group of cores
  same_package,   ///< at one socket
  other_package,  ///< between sockets, or where the machine does not say
};
[[nodiscard]] const char* to_string(Nearness nearness);

struct Gpu {
  std::string bus_id;  ///< such as "0000:1b:00.0"; see normal_bus_id()
  CpuSet near;         ///< CPUs at the same place; all of the host where the machine does not say
};

struct Nic {
  std::string bus_id;
  std::vector<std::string> names;  ///< of the operating system: "mlx5_0", "ib0", "eth1" ...
  CpuSet near;
};

/// CPUs include those that this process may not use: where a GPU sits does not depend on who asks.
struct HostMap {
  CpuSet cpus;
  std::vector<CpuGroup> packages;
  std::vector<CpuGroup> numa_nodes;
  std::vector<Gpu> gpus;  ///< of NVIDIA, by ascending bus id; whether or not this process may use them
  std::vector<Nic> nics;  ///< by ascending bus id
  std::vector<std::vector<Nearness>> nearness;  ///< [gpu][nic]

  /// nullptr when there is no such GPU, as in a container that hides its PCI bus.
  [[nodiscard]] const Gpu* gpu(std::string_view bus_id) const;
  /// Indices of the network cards that are nearest to a GPU; none when no card has a name.
  [[nodiscard]] std::vector<std::size_t> nearest_nics(const Gpu& gpu) const;
  [[nodiscard]] Nearness nearness_of(const Gpu& gpu, std::size_t nic) const;
};

/// Numbers of the groups that have one of `cpus`, such as "0" or "0,1".
[[nodiscard]] std::string groups_of(const std::vector<CpuGroup>& groups, const CpuSet& cpus);

/// One way of writing a PCI address: "00000000:1B:00.0" as NVML has it, "0000:1B:00.0" as CUDA has it and
/// "1b:00.0" become "0000:1b:00.0". What is no address is handed back as it is.
[[nodiscard]] std::string normal_bus_id(std::string_view text);

}  // namespace lockstep::placement
