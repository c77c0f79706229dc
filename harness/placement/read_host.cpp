#include "harness/placement/read_host.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <set>

#include <fmt/format.h>
#include <hwloc.h>

#include "harness/core/error.hpp"

namespace lockstep::placement {
namespace {

constexpr unsigned short kNvidia = 0x10de;
constexpr unsigned kDisplayClass = 0x03;  // PCI base classes
constexpr unsigned kNetworkClass = 0x02;
constexpr unsigned short kInfinibandClass = 0x0c06;

[[noreturn]] void fail(const char* what, int error) {
  throw RunError({.what = std::string("hwloc cannot ") + what,
                  .why = std::strerror(error),
                  .suggestion = "see whether lstopo works on this host",
                  .file = {}});
}

/// Owns a loaded topology. `choose` says where it comes from.
class Topology {
 public:
  template <class Choose>
  explicit Topology(Choose&& choose) {
    hwloc_topology_t made = nullptr;
    if (hwloc_topology_init(&made) != 0)
      fail("begin", errno);
    topology_.reset(made);
    // Parts of hwloc that would load a driver, which costs seconds and memory on every GPU.
    for (const char* part : {"opencl", "cuda", "nvml", "gl", "rsmi", "levelzero"})
      static_cast<void>(hwloc_topology_set_components(made, HWLOC_TOPOLOGY_COMPONENTS_FLAG_BLACKLIST, part));
    if (hwloc_topology_set_flags(made, HWLOC_TOPOLOGY_FLAG_INCLUDE_DISALLOWED) != 0)
      fail("include CPUs of others", errno);
    if (hwloc_topology_set_io_types_filter(made, HWLOC_TYPE_FILTER_KEEP_IMPORTANT) != 0)
      fail("include devices", errno);
    choose(made);
    if (hwloc_topology_load(made) != 0)
      fail("read the host", errno);
  }
  [[nodiscard]] hwloc_topology_t get() const { return topology_.get(); }

 private:
  struct Destroy {
    void operator()(hwloc_topology* topology) const { hwloc_topology_destroy(topology); }
  };
  std::unique_ptr<hwloc_topology, Destroy> topology_;
};

CpuSet cpus_of(hwloc_const_bitmap_t bitmap) {
  std::set<int> cpus;
  if (bitmap == nullptr)
    return CpuSet{};
  for (int cpu = hwloc_bitmap_first(bitmap); cpu >= 0; cpu = hwloc_bitmap_next(bitmap, cpu))
    cpus.insert(cpu);
  return CpuSet(std::move(cpus));
}

std::vector<CpuGroup> groups_of_type(hwloc_topology_t topology, hwloc_obj_type_t type) {
  std::vector<CpuGroup> groups;
  for (hwloc_obj_t object = nullptr;
       (object = hwloc_get_next_obj_by_type(topology, type, object)) != nullptr;)
    groups.push_back({object->os_index, cpus_of(object->cpuset)});
  return groups;
}

std::string bus_id_of(hwloc_obj_t device) {
  const auto& pci = device->attr->pcidev;
  return fmt::format("{:04x}:{:02x}:{:02x}.{:x}", unsigned{pci.domain}, unsigned{pci.bus}, unsigned{pci.dev},
                     unsigned{pci.func});
}

CpuSet near_cpus(hwloc_topology_t topology, hwloc_obj_t device) {
  return cpus_of(hwloc_get_non_io_ancestor_obj(topology, device)->cpuset);
}

std::vector<std::string> network_names(hwloc_obj_t device) {
  std::vector<std::string> names;
  for (hwloc_obj_t child = device->io_first_child; child != nullptr; child = child->next_sibling) {
    const bool network =
        child->type == HWLOC_OBJ_OS_DEVICE && (child->attr->osdev.type == HWLOC_OBJ_OSDEV_NETWORK ||
                                               child->attr->osdev.type == HWLOC_OBJ_OSDEV_OPENFABRICS);
    if (network && child->name != nullptr)
      names.emplace_back(child->name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

bool is_gpu(hwloc_obj_t device) {
  return device->attr->pcidev.vendor_id == kNvidia && (device->attr->pcidev.class_id >> 8U) == kDisplayClass;
}

bool is_nic(hwloc_obj_t device) {
  return (device->attr->pcidev.class_id >> 8U) == kNetworkClass ||
         device->attr->pcidev.class_id == kInfinibandClass || !network_names(device).empty();
}

Nearness nearness_between(hwloc_topology_t topology, hwloc_obj_t gpu, hwloc_obj_t nic) {
  hwloc_obj_t common = gpu;
  std::set<hwloc_obj_t> ancestors;
  for (hwloc_obj_t object = nic; object != nullptr; object = object->parent)
    ancestors.insert(object);
  while (ancestors.count(common) == 0)
    common = common->parent;  // both are below the machine
  if (common->type == HWLOC_OBJ_BRIDGE) {
    return common->attr->bridge.upstream_type == HWLOC_OBJ_BRIDGE_HOST ? Nearness::same_bridge
                                                                       : Nearness::same_switch;
  }
  const CpuSet near = cpus_of(common->cpuset);
  const auto within_one = [&](hwloc_obj_type_t type) {
    const std::vector<CpuGroup> groups = groups_of_type(topology, type);
    return std::any_of(groups.begin(), groups.end(),
                       [&](const CpuGroup& group) { return group.cpus.common(near) == near; });
  };
  if (within_one(HWLOC_OBJ_NUMANODE))
    return Nearness::same_node;
  return within_one(HWLOC_OBJ_PACKAGE) ? Nearness::same_package : Nearness::other_package;
}

HostMap map_of(const Topology& source) {
  hwloc_topology_t topology = source.get();
  HostMap map;
  map.cpus = cpus_of(hwloc_get_root_obj(topology)->cpuset);
  map.packages = groups_of_type(topology, HWLOC_OBJ_PACKAGE);
  map.numa_nodes = groups_of_type(topology, HWLOC_OBJ_NUMANODE);
  std::vector<hwloc_obj_t> gpus;
  std::vector<hwloc_obj_t> nics;
  for (hwloc_obj_t device = nullptr; (device = hwloc_get_next_pcidev(topology, device)) != nullptr;) {
    if (is_gpu(device))
      gpus.push_back(device);
    else if (is_nic(device))
      nics.push_back(device);
  }
  const auto by_bus = [](hwloc_obj_t a, hwloc_obj_t b) { return bus_id_of(a) < bus_id_of(b); };
  std::sort(gpus.begin(), gpus.end(), by_bus);
  std::sort(nics.begin(), nics.end(), by_bus);
  for (hwloc_obj_t nic : nics)
    map.nics.push_back({bus_id_of(nic), network_names(nic), near_cpus(topology, nic)});
  for (hwloc_obj_t gpu : gpus) {
    map.gpus.push_back({bus_id_of(gpu), near_cpus(topology, gpu)});
    std::vector<Nearness>& row = map.nearness.emplace_back();
    for (hwloc_obj_t nic : nics)
      row.push_back(nearness_between(topology, gpu, nic));
  }
  return map;
}

}  // namespace

HostMap read_this_host() {
  return map_of(Topology([](hwloc_topology_t) {}));
}

HostMap read_xml(const std::string& xml) {
  return map_of(Topology([&](hwloc_topology_t topology) {
    // The length counts the byte behind the text.
    if (hwloc_topology_set_xmlbuffer(topology, xml.c_str(), static_cast<int>(xml.size() + 1)) != 0)
      fail("read the XML", errno);
  }));
}

HostMap read_synthetic(const std::string& description) {
  return map_of(Topology([&](hwloc_topology_t topology) {
    if (hwloc_topology_set_synthetic(topology, description.c_str()) != 0)
      fail("read the synthetic description", errno);
  }));
}

std::string hwloc_version() {
  // major << 16 | minor << 8 | release
  const unsigned version = hwloc_get_api_version();
  return fmt::format("{}.{}", version >> 16U, (version >> 8U) & 0xffU);
}

}  // namespace lockstep::placement
