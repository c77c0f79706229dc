#include "harness/placement/compare.hpp"

#include <map>
#include <set>

#include <fmt/format.h>

#include "harness/core/error.hpp"
#include "harness/core/text.hpp"

namespace lockstep::placement {
namespace {

constexpr char kSeparator = '\t';  // in none of the parts

/// Instances of one GPU (MIG) are different devices at one address.
std::string key_of(const TakenGpu& taken) {
  return taken.uuid.empty() ? taken.bus_id : taken.uuid;
}

std::string name_of(const TakenGpu& taken) {
  if (taken.bus_id.empty())
    return taken.uuid;
  return taken.uuid.starts_with("MIG-") ? fmt::format("{} of {}", taken.uuid, taken.bus_id) : taken.bus_id;
}

}  // namespace

std::string encode(const TakenGpu& taken) {
  return taken.machine + kSeparator + taken.bus_id + kSeparator + taken.uuid;
}

TakenGpu decode_taken_gpu(std::string_view line) {
  std::vector<std::string> parts = split(line, kSeparator);
  if (parts.size() != 3) {
    throw RunError({.what = "a rank told of its GPU in a way that cannot be read",
                    .why = "ranks seem to run different versions of the program",
                    .suggestion = "install one version on every host",
                    .file = {}});
  }
  return {std::move(parts[0]), std::move(parts[1]), std::move(parts[2])};
}

std::vector<std::string> sharing_warnings(const std::vector<TakenGpu>& all, std::size_t self,
                                          const std::vector<VisibleGpu>& visible, std::uint32_t slots) {
  LOCKSTEP_EXPECT(self < all.size(), "a rank is one of all");
  std::map<std::string, std::vector<std::string>> ranks_of;
  std::map<std::string, std::string> names;
  std::set<std::string> used;
  std::size_t ranks_here = 0;
  for (std::size_t rank = 0; rank < all.size(); ++rank) {
    const TakenGpu& taken = all[rank];
    if (taken.machine != all[self].machine)
      continue;
    ++ranks_here;
    if (key_of(taken).empty())
      continue;
    ranks_of[key_of(taken)].push_back(std::to_string(rank));
    names[key_of(taken)] = name_of(taken);
    used.insert(taken.bus_id);
    used.insert(taken.uuid);
  }
  std::vector<std::string> warnings;
  for (const auto& [key, ranks] : ranks_of) {
    if (ranks.size() < 2)
      continue;
    warnings.push_back(fmt::format(
        "ranks {} share GPU {} (each computes at a part of its rate, and NCCL refuses two ranks on one GPU "
        "unless NCCL_HOSTID tells them apart); use as many ranks as GPUs",
        join(ranks, ", "), names[key]));
  }
  if (ranks_here < slots)
    return warnings;
  std::vector<std::string> idle;
  for (const VisibleGpu& gpu : visible) {
    const std::string& key = gpu.uuid.empty() ? gpu.bus_id : gpu.uuid;
    if (used.count(key) == 0)
      idle.push_back(gpu.bus_id.empty() ? gpu.uuid : gpu.bus_id);
  }
  if (!idle.empty()) {
    warnings.push_back(
        fmt::format("no rank uses GPU{} {} ({} visible, {} ranks on the host); raise the site's slots, or "
                    "take them out of CUDA_VISIBLE_DEVICES",
                    idle.size() == 1 ? "" : "s", join(idle, ", "), visible.size(), ranks_here));
  }
  return warnings;
}

}  // namespace lockstep::placement
