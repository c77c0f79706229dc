#include "harness/record/journal_layout.hpp"

#include <type_traits>

#include <fmt/core.h>

#include "harness/core/hash.hpp"

namespace lockstep::record {
namespace {

constexpr std::uint64_t kAlignment = 64;
constexpr std::uint64_t kMostBytes = 1ULL << 46U;  // 64 TiB: keeps every sum below far from overflow

std::uint64_t aligned(std::uint64_t offset) {
  return (offset + kAlignment - 1) / kAlignment * kAlignment;
}

}  // namespace

JournalSizes journal_sizes() {
  return {.header = sizeof(JournalHeader),
          .where = sizeof(WhereAbouts),
          .step_stamp = sizeof(step::StepStamp),
          .comm_stamp = sizeof(step::CommStamp),
          .op_stamp = sizeof(step::OpStamp),
          .clock_slot = sizeof(ClockSlot),
          .failure_slot = sizeof(FailureSlot),
          .drill_slot = sizeof(DrillSlot),
          .checkpoint_slot = sizeof(CheckpointSlot),
          .probe_slot = sizeof(ProbeSlot),
          .health_slot = sizeof(HealthSlot)};
}

std::optional<JournalOffsets> journal_offsets(const JournalCounts& counts, std::uint64_t meta_bytes) {
  JournalOffsets offsets;
  std::uint64_t at = sizeof(JournalHeader);
  bool fits = true;
  // Counts are 32 bits wide and elements small, so `rows * columns` cannot overflow, and the size is looked
  // at before it is multiplied by the element's.
  const auto place = [&at, &fits](std::uint64_t elements, std::uint64_t element_bytes) {
    const std::uint64_t offset = aligned(at);
    fits = fits && elements <= kMostBytes / element_bytes && offset + elements * element_bytes <= kMostBytes;
    at = fits ? offset + elements * element_bytes : at;
    return offset;
  };
  const auto table = [](std::uint32_t rows, std::uint32_t columns) { return std::uint64_t{rows} * columns; };
  offsets.meta = place(meta_bytes, 1);
  offsets.where = place(1, sizeof(WhereAbouts));
  offsets.steps = place(counts.steps, sizeof(step::StepStamp));
  offsets.comms = place(table(counts.steps, counts.comms_per_step), sizeof(step::CommStamp));
  offsets.ops = place(table(counts.kept_steps, counts.ops_per_step), sizeof(step::OpStamp));
  offsets.clock = place(counts.clock_slots, sizeof(ClockSlot));
  offsets.failures = place(counts.failure_slots, sizeof(FailureSlot));
  offsets.drills = place(counts.drill_slots, sizeof(DrillSlot));
  offsets.checkpoints = place(counts.checkpoint_slots, sizeof(CheckpointSlot));
  offsets.probes = place(counts.probe_slots, sizeof(ProbeSlot));
  offsets.health = place(counts.health_slots, sizeof(HealthSlot));
  offsets.end = aligned(at);
  if (!fits)
    return std::nullopt;
  return offsets;
}

std::uint64_t shape_checksum(const JournalShape& shape) {
  static_assert(std::has_unique_object_representations_v<JournalShape>,
                "gaps would make the checksum depend on what lies in them");
  return checksum64(std::as_bytes(std::span(&shape, 1)), kJournalMagic);
}

std::string journal_file_name(std::uint32_t rank) {
  return fmt::format("rank-{:05}.journal", rank);
}

std::string leg_folder_name(const LegRow& leg) {
  return fmt::format("leg-{:03}-{}-r{}-a{}", leg.leg, leg.name, leg.round, leg.attempt);
}

const char* to_string(RankPhase phase) {
  switch (phase) {
    case RankPhase::starting:
      return "starting";
    case RankPhase::mpi_init:
      return "mpi_init";
    case RankPhase::set_up:
      return "set_up";
    case RankPhase::clock_sync:
      return "clock_sync";
    case RankPhase::checkpoint:
      return "checkpoint";
    case RankPhase::stepping:
      return "stepping";
    case RankPhase::collecting:
      return "collecting";
    case RankPhase::finalizing:
      return "finalizing";
    case RankPhase::done:
      return "done";
  }
  return "unknown";  // from a damaged journal
}

}  // namespace lockstep::record
