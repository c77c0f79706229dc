#include "harness/placement/host_map.hpp"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "harness/core/error.hpp"
#include "harness/core/text.hpp"

namespace lockstep::placement {
namespace {

std::optional<std::uint32_t> hexadecimal(std::string_view text) {
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  if (error != std::errc{} || end != text.data() + text.size())
    return std::nullopt;
  return value;
}

}  // namespace

const char* to_string(Nearness nearness) {
  switch (nearness) {
    case Nearness::same_switch:
      return "same PCI switch";
    case Nearness::same_bridge:
      return "same host bridge";
    case Nearness::same_node:
      return "same NUMA node";
    case Nearness::same_package:
      return "same socket";
    case Nearness::other_package:
      return "across sockets";
  }
  return "?";
}

const Gpu* HostMap::gpu(std::string_view bus_id) const {
  const auto at =
      std::find_if(gpus.begin(), gpus.end(), [&](const Gpu& one) { return one.bus_id == bus_id; });
  return at == gpus.end() ? nullptr : &*at;
}

Nearness HostMap::nearness_of(const Gpu& gpu, std::size_t nic) const {
  const auto index = static_cast<std::size_t>(&gpu - gpus.data());
  LOCKSTEP_EXPECT(index < nearness.size() && nic < nearness[index].size(), "not of this host");
  return nearness[index][nic];
}

std::vector<std::size_t> HostMap::nearest_nics(const Gpu& gpu) const {
  std::vector<std::size_t> nearest;
  for (std::size_t nic = 0; nic < nics.size(); ++nic) {
    if (nics[nic].names.empty())
      continue;  // a card that no driver runs
    if (!nearest.empty() && nearness_of(gpu, nic) < nearness_of(gpu, nearest.front()))
      nearest.clear();
    if (nearest.empty() || nearness_of(gpu, nic) == nearness_of(gpu, nearest.front()))
      nearest.push_back(nic);
  }
  return nearest;
}

std::string groups_of(const std::vector<CpuGroup>& groups, const CpuSet& cpus) {
  std::vector<std::string> numbers;
  for (const CpuGroup& group : groups) {
    if (!group.cpus.common(cpus).empty())
      numbers.push_back(std::to_string(group.number));
  }
  return join(numbers, ",");
}

std::string normal_bus_id(std::string_view text) {
  std::vector<std::string> parts = split(text, ':');
  if (parts.size() == 2)
    parts.insert(parts.begin(), "0");
  if (parts.size() != 3)
    return std::string(text);
  const std::size_t dot = parts[2].find('.');
  const auto domain = hexadecimal(parts[0]);
  const auto bus = hexadecimal(parts[1]);
  const auto device = hexadecimal(std::string_view(parts[2]).substr(0, dot));
  const auto function = dot == std::string::npos ? std::optional<std::uint32_t>(0)
                                                 : hexadecimal(std::string_view(parts[2]).substr(dot + 1));
  if (!domain || !bus || !device || !function)
    return std::string(text);
  return fmt::format("{:04x}:{:02x}:{:02x}.{:x}", *domain, *bus, *device, *function);
}

}  // namespace lockstep::placement
