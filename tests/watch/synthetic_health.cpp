#include "tests/watch/synthetic_health.hpp"

#include <algorithm>
#include <stdexcept>

namespace lockstep::tests {
namespace {

using record::Evidence;
using record::HealthRow;
using record::StepRow;

void add_health(Evidence& evidence, const record::DeviceRow& device) {
  std::vector<const StepRow*> steps;
  for (const StepRow& row : evidence.steps)
    if (row.leg == device.leg && row.rank == device.rank)
      steps.push_back(&row);
  std::sort(steps.begin(), steps.end(), [](const auto* a, const auto* b) { return a->step < b->step; });
  HealthRow row;
  row.leg = device.leg;
  row.rank = device.rank;
  row.device = device.device;
  row.readings = 1;
  row.throttle = 0;
  row.thermal_ns = 0;
  row.ecc_corrected = 3;
  row.ecc_uncorrected = 1;
  row.remapped_rows = 0;
  row.link_errors = 0;
  row.remap_pending = 0;
  row.remap_failed = 0;
  row.xid = 0;
  row.clock_mhz = 1980.0;
  row.temperature_c = 55.0;
  row.power_w = 650.0;
  row.cost_ns = 100'000;
  if (steps.empty())
    return;
  row.begin_ns = row.end_ns = steps.front()->begin_ns;
  evidence.health.push_back(row);
  for (const StepRow* step : steps) {
    row.begin_ns = row.end_ns;
    row.end_ns = step->end_ns;
    evidence.health.push_back(row);
  }
}

void add_device(Evidence& evidence, const record::DeviceRow& device) {
  evidence.devices.push_back(device);
  add_health(evidence, device);
}

}  // namespace

void add_cards(Evidence& evidence, std::uint32_t leg) {
  std::vector<record::DeviceRow> cards;
  for (record::RankRow& rank : evidence.ranks) {
    if (rank.leg != leg)
      continue;
    rank.gpu = "H200";
    record::DeviceRow card;
    card.leg = leg;
    card.rank = rank.rank;
    card.kind = "gpu";
    card.name = "H200";
    card.serial = "1650" + std::to_string(rank.rank);
    card.uuid = "GPU-" + std::to_string(rank.rank);
    cards.push_back(card);
  }
  for (const record::DeviceRow& card : cards)
    add_device(evidence, card);
}

void add_processors(Evidence& evidence, std::uint32_t leg, const std::string& host) {
  const auto first =
      std::find_if(evidence.ranks.begin(), evidence.ranks.end(),
                   [&](const record::RankRow& rank) { return rank.leg == leg && rank.host == host; });
  if (first == evidence.ranks.end())
    throw std::invalid_argument("no rank on " + host);
  record::DeviceRow processors;
  processors.leg = leg;
  processors.rank = first->rank;
  processors.device = first->gpu.empty() ? 0 : 1;
  processors.kind = "cpu";
  processors.name = "Xeon";
  processors.serial = "S4711";
  add_device(evidence, processors);
}

HealthRow& health_at(Evidence& evidence, std::uint32_t leg, std::uint32_t rank, std::uint32_t step) {
  const auto own = std::find_if(evidence.steps.begin(), evidence.steps.end(), [&](const StepRow& row) {
    return row.leg == leg && row.rank == rank && row.step == step;
  });
  if (own != evidence.steps.end()) {
    for (HealthRow& row : evidence.health)
      if (row.leg == leg && row.rank == rank && row.end_ns == own->end_ns)
        return row;
  }
  throw std::invalid_argument("nobody read that device then");
}

void throttle(Evidence& evidence, std::uint32_t leg, std::uint32_t rank, std::uint32_t first,
              std::uint32_t last, std::int64_t bits) {
  for (std::uint32_t step = first; step <= last; ++step) {
    HealthRow& row = health_at(evidence, leg, rank, step);
    row.throttle = bits;
    row.throttled = 1;
    row.temperature_c = 92.0;
  }
}

}  // namespace lockstep::tests
