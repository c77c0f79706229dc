#include "harness/fabric/nccl_setup.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <utility>

#include <fmt/format.h>

#include "harness/core/clock.hpp"
#include "harness/core/error.hpp"
#include "harness/core/units.hpp"
#include "harness/fabric/agree.hpp"
#include "harness/mpi/collect.hpp"

namespace lockstep::fabric {
namespace {

using cuda::NcclCommunicator;

/// For agreeing on what became of a meeting, on top of its own deadline.
constexpr double kAgreeS = 10.0;

void check_gpus(const NcclNeeds& needs, const std::string& gpu) {
  const auto gpus = mpi::all_gather_strings(needs.leg, gpu, needs.deadline_s);
  const std::string shared = shared_gpus(gpus);
  if (shared.empty())
    return;
  if (!needs.share_gpu) {
    throw InputError({.what = shared,
                      .why = "NCCL takes each GPU once",
                      .suggestion = "start one rank per GPU, or set fabric.share_gpu = true for a rehearsal",
                      .file = {}});
  }
  // NCCL tells hosts apart by this and refuses a GPU that appears twice on one host. It looks at it when its
  // first communicator is made, which is still to come.
  const std::string id = fmt::format("lockstep-rank-{}", needs.leg.rank());
  ::setenv("NCCL_HOSTID", id.c_str(), 1);  // NOLINT(concurrency-mt-unsafe): before NCCL has threads
}

struct Place {
  int part = 0;
  int position = 0;
  int ranks = 0;
};

Place place_of(const step::Group& group, RankId self) {
  for (std::size_t part = 0; part < group.parts.size(); ++part) {
    const auto& ranks = group.parts[part];
    const auto found = std::find(ranks.begin(), ranks.end(), self);
    if (found != ranks.end())
      return {static_cast<int>(part), static_cast<int>(found - ranks.begin()),
              static_cast<int>(ranks.size())};
  }
  LOCKSTEP_EXPECT(false, "rank in no part of group " + group.name);
  return {};
}

std::vector<std::optional<NcclGroup>> split_all(const NcclNeeds& needs, NcclCommunicator& all) {
  const RankId self(static_cast<std::uint32_t>(needs.leg.rank()));
  const std::int64_t deadline_ns = monotonic_ns() + static_cast<std::int64_t>(needs.deadline_s * kNsPerS);
  const std::vector<OpId> ops = needs.graph.comm_ops();
  std::vector<bool> used(needs.graph.groups.size(), false);
  for (const OpId op : ops)
    used[std::get<step::Comm>(needs.graph.op(op).work).group.value()] = true;
  std::vector<std::optional<NcclGroup>> groups(needs.graph.groups.size());
  for (std::size_t i = 0; i < groups.size(); ++i) {
    if (!used[i])
      continue;
    const Place place = place_of(needs.graph.groups[i], self);
    const double left_s = std::max(0.01, seconds_from_ns(deadline_ns - monotonic_ns()));
    groups[i].emplace(
        NcclGroup{all.split(place.part, place.position, place.ranks, place.position, needs.settings, left_s),
                  needs.make_queue(ops.size())});
  }
  return groups;
}

}  // namespace

std::string shared_gpus(const std::vector<std::string>& gpus) {
  std::map<std::string, std::size_t> first;
  for (std::size_t rank = 0; rank < gpus.size(); ++rank) {
    const auto [known, is_new] = first.emplace(gpus[rank], rank);
    if (!is_new)
      return fmt::format("ranks {} and {} are on the same GPU, {}", known->second, rank, gpus[rank]);
  }
  return {};
}

std::unique_ptr<NcclFabric> meet_in_nccl(const NcclNeeds& needs) {
  const double agree_s = needs.deadline_s + kAgreeS;
  cuda::NcclId id;
  std::string gpu;
  agree(needs.leg, agree_s, [&] {
    if (needs.api == nullptr)
      throw InputError({.what = "fabric.backend is \"nccl\", which cannot be used here",
                        .why = needs.no_api_reason,
                        .suggestion = "use another fabric.backend",
                        .file = {}});
    if (!needs.obstacle.empty())
      throw InputError({.what = needs.obstacle, .why = {}, .suggestion = {}, .file = {}});
    gpu = needs.gpu();
  });
  check_gpus(needs, gpu);
  agree(needs.leg, agree_s, [&] {
    if (needs.leg.rank() == 0)
      id = cuda::make_nccl_id(*needs.api);
  });
  const std::string text = mpi::broadcast_string(
      needs.leg, {reinterpret_cast<const char*>(id.bytes.data()), id.bytes.size()}, 0, needs.deadline_s);
  LOCKSTEP_EXPECT(text.size() == id.bytes.size(), "an NCCL id has one size");
  std::memcpy(id.bytes.data(), text.data(), text.size());

  std::optional<NcclCommunicator> all;
  agree(needs.leg, agree_s, [&] {
    all.emplace(*needs.api, id, needs.leg.size(), needs.leg.rank(), needs.settings, needs.deadline_s);
  });
  std::vector<std::optional<NcclGroup>> groups;
  std::unique_ptr<NcclFabric> fabric;
  agree(needs.leg, agree_s, [&] {
    groups = split_all(needs, *all);
    const RankId self(static_cast<std::uint32_t>(needs.leg.rank()));
    fabric = std::make_unique<NcclFabric>(needs.graph, self, std::move(groups), needs.memory, needs.order);
    fabric->keep(std::move(*all));
    all.reset();
  });
  return fabric;
}

}  // namespace lockstep::fabric
