#include "harness/app/rank_health.hpp"

#include <algorithm>
#include <optional>

#include "harness/cuda/nvml.hpp"
#include "harness/watch/cpu_health.hpp"
#include "harness/watch/health_ledger.hpp"
#include "harness/watch/nvml_health.hpp"

namespace lockstep::app {
namespace {

/// The word of RankRow::gpu that tells one card from all others; empty when none does.
std::string card_key(const std::string& gpu) {
  std::string word;
  const auto is_key = [](const std::string& text) {
    return text.starts_with("GPU-") || !cuda::normal_pci_bus(text).empty();
  };
  for (const char c : gpu + " ") {
    if (c != ' ' && c != ',' && c != ';' && c != '(' && c != ')') {
      word += c;
      continue;
    }
    if (is_key(word))
      return word;
    word.clear();
  }
  return {};
}

void add(WatchedDevices& devices, const record::RankRow& rank, std::unique_ptr<watch::HealthSource> source) {
  record::DeviceRow row = source->describe();
  row.leg = rank.leg;
  row.rank = rank.rank;
  row.device = static_cast<std::uint32_t>(devices.rows.size());
  devices.rows.push_back(std::move(row));
  devices.sources.push_back(std::move(source));
}

void add_card(WatchedDevices& devices, const record::RankRow& rank, const std::string& library) {
  const std::string key = card_key(rank.gpu);
  if (key.empty()) {
    devices.warnings.push_back("the health of this rank's card is not read: " +
                               (rank.gpu.empty() ? std::string("which one it is, is not known")
                                                 : "'" + rank.gpu + "' names neither PCI bus nor UUID"));
    return;
  }
  std::string reason;
  const std::optional<cuda::Nvml> nvml = cuda::Nvml::open(reason, library);
  std::optional<cuda::NvmlCard> card = nvml ? nvml->find(key) : std::nullopt;
  if (card)
    add(devices, rank, std::make_unique<watch::NvmlHealth>(std::move(*card)));
  else
    devices.warnings.push_back("the health of card " + key +
                               " is not read: " + (nvml ? "NVML does not know it" : reason));
}

}  // namespace

DevicePlaces::DevicePlaces() : nvml(cuda::kNvmlLibrary) {}

WatchedDevices find_devices(const plan::Plan& plan, const record::RankRow& rank, const DevicePlaces& places) {
  WatchedDevices devices;
  if (plan.health.per_second <= 0.0)
    return devices;
  if (plan.compute.backend == plan::ComputeBackend::cuda)
    add_card(devices, rank, places.nvml);
  if (rank.local_rank == 0)
    add(devices, rank, std::make_unique<watch::CpuHealth>(places.root));
  return devices;
}

std::uint32_t health_rows(const WatchedDevices& devices) {
  return watch::HealthLedger::kRows * static_cast<std::uint32_t>(devices.rows.size());
}

std::unique_ptr<watch::HealthSampler> start_health(const plan::Plan& plan, WatchedDevices devices,
                                                   const record::RankRow& rank, record::Journal& journal) {
  if (devices.sources.empty())
    return nullptr;
  watch::HealthSampler::Options options;
  options.per_second = plan.health.per_second;
  return std::make_unique<watch::HealthSampler>(
      std::move(devices.sources), options,
      [leg = rank.leg, self = rank.rank, &journal](record::HealthRow row) {
        row.leg = leg;
        row.rank = self;
        journal.add_health(row);
      });
}

}  // namespace lockstep::app
