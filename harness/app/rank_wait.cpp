#include "harness/app/rank_wait.hpp"

#include <fmt/format.h>

namespace lockstep::app {
namespace {

std::size_t cores_of(const std::vector<CpuSet>& ranks) {
  CpuSet all;
  for (const CpuSet& cpus : ranks)
    all.add(cpus);
  return all.size();
}

}  // namespace

WaitChoice choose_wait(plan::Progress wanted, const CoreShare& share) {
  if (wanted == plan::Progress::spin)
    return {step::WaitMode::spin, "as the plan says"};
  if (wanted == plan::Progress::backoff)
    return {step::WaitMode::backoff, "as the plan says"};
  const std::size_t threads = static_cast<std::size_t>(share.busy_threads) + 1;
  const std::size_t cores = cores_of(share.on_machine);
  const std::size_t needed = share.on_machine.size() * threads;
  const bool room = cores >= needed && share.own.size() >= threads;
  return {room ? step::WaitMode::spin : step::WaitMode::backoff,
          fmt::format("{} ranks of {} threads on {} cores of this machine, {} of them for this rank",
                      share.on_machine.size(), threads, cores, share.own.size())};
}

bool is_oversubscribed(const CoreShare& share) {
  const auto busy = static_cast<std::size_t>(share.busy_threads);
  return share.on_machine.size() * busy > cores_of(share.on_machine) || busy > share.own.size();
}

}  // namespace lockstep::app
