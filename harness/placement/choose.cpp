#include "harness/placement/choose.hpp"

#include <algorithm>
#include <numeric>

#include <fmt/format.h>

#include "harness/core/error.hpp"
#include "harness/core/text.hpp"

namespace lockstep::placement {
namespace {

/// Empty where the machine does not say where the GPU sits: all CPUs are then as near.
CpuSet near_of(const HostMap& host, const VisibleGpu& gpu) {
  const Gpu* found = host.gpu(gpu.bus_id);
  return found == nullptr || found->near == host.cpus ? CpuSet{} : found->near;
}

std::vector<CpuSet> near_of_all(const HostMap& host, const std::vector<VisibleGpu>& visible) {
  std::vector<CpuSet> near;
  near.reserve(visible.size());
  for (const VisibleGpu& gpu : visible)
    near.push_back(near_of(host, gpu));
  return near;
}

/// Ranks that reach every place are not bound to any.
bool are_bound(const std::vector<CpuSet>& ranks, const std::vector<CpuSet>& near) {
  return std::any_of(ranks.begin(), ranks.end(), [&](const CpuSet& cpus) {
    return std::any_of(near.begin(), near.end(),
                       [&](const CpuSet& place) { return !place.empty() && cpus.common(place).empty(); });
  });
}

/// By local rank: index of its GPU.
std::vector<std::size_t> assign_by_binding(const std::vector<CpuSet>& ranks,
                                           const std::vector<CpuSet>& near) {
  const auto reaches = [&](std::size_t rank, std::size_t gpu) {
    return near[gpu].empty() || !ranks[rank].common(near[gpu]).empty();
  };
  std::vector<std::size_t> choices(ranks.size(), 0);
  for (std::size_t rank = 0; rank < ranks.size(); ++rank) {
    for (std::size_t gpu = 0; gpu < near.size(); ++gpu)
      choices[rank] += reaches(rank, gpu) ? 1 : 0;
  }
  std::vector<std::size_t> order(ranks.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return choices[a] < choices[b]; });
  const std::size_t most = (ranks.size() + near.size() - 1) / near.size();  // ranks a GPU
  std::vector<std::size_t> load(near.size(), 0);
  std::vector<std::size_t> taken(ranks.size(), 0);
  for (const std::size_t rank : order) {
    std::optional<std::size_t> best;
    const auto better = [&](std::size_t gpu) {
      if (!best)
        return true;
      if (reaches(rank, gpu) != reaches(rank, *best))
        return reaches(rank, gpu);
      return load[gpu] < load[*best];
    };
    for (std::size_t gpu = 0; gpu < near.size(); ++gpu) {
      if (load[gpu] < most && better(gpu))
        best = gpu;
    }
    LOCKSTEP_EXPECT(best, "every GPU is full");
    taken[rank] = *best;
    ++load[*best];
  }
  return taken;
}

std::string place_of(const HostMap& host, const CpuSet& cpus) {
  return fmt::format("CPUs {} (socket {}, NUMA node {})", cpus.text(), groups_of(host.packages, cpus),
                     groups_of(host.numa_nodes, cpus));
}

void warn_of_far_nics(const HostMap& host, const Gpu& gpu, const CpuSet& own, Choice& choice) {
  const std::vector<std::size_t> nearest = host.nearest_nics(gpu);
  const auto reached = [&](std::size_t nic) { return !own.common(host.nics[nic].near).empty(); };
  if (nearest.empty() || std::any_of(nearest.begin(), nearest.end(), reached))
    return;
  choice.warnings.push_back(fmt::format(
      "runs on {}, and the network cards nearest to its GPU, {}, are at {} (what it sends crosses the "
      "sockets); bind it there, or choose a GPU near its own",
      place_of(host, own), choice.nics, place_of(host, host.nics[nearest.front()].near)));
}

void look_at_binding(const HostMap& host, const LocalRanks& ranks, Choice& choice) {
  const CpuSet& own = ranks.cpus[ranks.self];
  const Gpu* gpu = host.gpu(choice.gpu->bus_id);
  if (gpu == nullptr)
    return;
  choice.nics = nic_names(host, *gpu);
  choice.near = near_of(host, *choice.gpu);
  if (choice.near.empty() || own.empty())
    return;
  const CpuSet both = own.common(choice.near);
  if (both.empty()) {
    choice.warnings.push_back(fmt::format(
        "runs on {}, and its GPU {} is at {} (launches and copies cross the sockets); bind ranks to the "
        "socket of their GPU, or let them see the GPUs of their own (CUDA_VISIBLE_DEVICES)",
        place_of(host, own), choice.gpu->bus_id, place_of(host, choice.near)));
    return;
  }
  warn_of_far_nics(host, *gpu, own, choice);
  if (own.common(host.cpus) == host.cpus)
    choice.narrower = both;  // nobody bound it
}

}  // namespace

std::string nic_names(const HostMap& host, const Gpu& gpu) {
  std::vector<std::string> names;
  const std::vector<std::size_t> nearest = host.nearest_nics(gpu);
  for (const std::size_t nic : nearest) {
    // A card has a name for each kind of interface: the one that NCCL's settings take, where there is one.
    const auto& all = host.nics[nic].names;
    const auto rdma =
        std::find_if(all.begin(), all.end(), [](const std::string& name) { return name.starts_with("mlx"); });
    names.push_back(rdma != all.end() ? *rdma : all.front());
  }
  if (names.empty())
    return {};
  return fmt::format("{} ({})", join(names, ", "), to_string(host.nearness_of(gpu, nearest.front())));
}

Choice choose_gpu(const HostMap& host, const LocalRanks& ranks, const std::vector<VisibleGpu>& visible) {
  LOCKSTEP_EXPECT(ranks.self < ranks.cpus.size(), "a rank is one of its host's");
  Choice choice;
  if (visible.empty()) {
    choice.reason = "no GPU is visible";
    return choice;
  }
  const std::vector<CpuSet> near = near_of_all(host, visible);
  if (visible.size() == 1) {
    choice.gpu = visible.front();
    choice.reason = "the only one that this rank sees";
  } else if (ranks.slots == ranks.cpus.size() && are_bound(ranks.cpus, near)) {
    choice.gpu = visible[assign_by_binding(ranks.cpus, near)[ranks.self]];
    choice.reason =
        fmt::format("by the cores of the {} ranks of this host, among {} GPUs", ranks.slots, visible.size());
  } else {
    choice.gpu = visible[ranks.slot % visible.size()];
    choice.reason =
        fmt::format("place {} of {} on this host, among {} GPUs", ranks.slot, ranks.slots, visible.size());
  }
  look_at_binding(host, ranks, choice);
  return choice;
}

}  // namespace lockstep::placement
